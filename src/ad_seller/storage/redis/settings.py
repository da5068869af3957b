"""What is the same for the engines of all event loops."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..passwords import Password
from .index import index_name
from .url import RedisURL

#: What makes a cluster put all keys of a prefix into one slot.
_HASH_TAG = re.compile(r"^[^{]*\{[^}]+\}")

#: What we send, as rights of a user; docs/redis.md has the same.
_RIGHTS = (
    "+@read +@write +@scripting +@connection +@pubsub -@dangerous +client +info +role +cluster +wait +multi +exec"
)


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where entries are, and how long to wait for them.

    Attributes:
        url: the parsed URL.
        address: the same as text, without the password.
        prefix: what stands before each key in Redis.
        timeout: seconds that any call waits.
        connections: how many to each server at most.
        wait_replicas: replicas that must have confirmed a write before it counts as done.
        password: for the servers with entries, in place of the one in the URL; a function is asked at each
            new connection.
        trust_master: seconds that a master is believed after sentinels have named it; 0: they confirm each answer.
    """

    url: RedisURL
    address: str
    prefix: str
    timeout: float
    connections: int
    wait_replicas: int = 0
    password: Password | None = field(default=None, repr=False)
    trust_master: float = 1.0

    @property
    def is_in_one_place(self) -> bool:
        """Whether all entries are on one server, in one slot."""
        return self.url.kind != "cluster" or _HASH_TAG.search(self.prefix) is not None

    @property
    def index(self) -> str | None:
        """The name of the listing index; None where there is none."""
        return index_name(self.prefix) if self.is_in_one_place else None

    @property
    def grant(self) -> str:
        """The ACL command that gives the user of the URL every right that is needed."""
        return f"ACL SETUSER {self.url.user} ~{self.prefix}* {_RIGHTS}"

    @property
    def reserve(self) -> float:
        """Seconds that an event loop under load needs to hand out errors, so that callers have them in time."""
        return min(0.05, 0.02 * self.timeout)

    @property
    def patience(self) -> float:
        """Seconds that a call waits for servers, with all its tries."""
        return self.timeout - self.reserve
