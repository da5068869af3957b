"""Entries in Redis 6.2 or newer, or Valkey: for several instances of a seller agent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar

from .capabilities import Capabilities
from .codec import encode
from .commit import Commit, Outcome
from .driver import DriverBackend
from .errors import ConfigurationError, InvalidArgumentError, StorageError, StoreUnavailableError, redact, shown
from .keys import check_key
from .listing import Span
from .process import run_to_end
from .redis_cluster import ClusterRouter
from .redis_errors import translate
from .redis_link import Command, RedisLink
from .redis_plan import Plan, spread
from .redis_router import RedisRouter, Task
from .redis_scan import sorted_keys
from .redis_scripts import COMMITS, EXPIRIES, pack, unpack
from .redis_sentinel import SentinelRouter
from .redis_url import parse_redis_url

#: Connections at most; batching makes do with few.
MAX_CONNECTIONS = 8

#: Listings that walk the keys at the same time; the other connections stay free for reads and writes.
_WALKS = 2

_MGET_KEYS = 1_000  #: keys of one MGET

#: What makes a cluster put all keys of a prefix into one slot.
_HASH_TAG = re.compile(r"^[^{]*\{[^}]+\}")

_ROUTERS: dict[str, type[RedisRouter]] = {
    "server": RedisRouter,
    "sentinel": SentinelRouter,
    "cluster": ClusterRouter,
}


class RedisBackend(DriverBackend):
    """A backend on one Redis server, a Sentinel group or a Redis Cluster.

    Reads of an event-loop tick are one MGET, writes one script. Every key is stored under ``key_prefix``, as
    JSON text with Redis's own expiry.

    Args:
        redis_url: ``redis://host:6379/0``, ``rediss://…`` with TLS, or ``unix:///path?db=0``; user, password and
            options as redis-py takes them. For Sentinel and Cluster see `parse_redis_url`.
        key_prefix: what stands before each key in Redis.
        timeout: seconds that any call waits for the server.
        max_connections: how many to each server at most.
        wait_replicas: replicas that must have confirmed a write before it is acknowledged, so that it survives
            a failover; costs a round trip between the servers.
        settings: see `DriverBackend`.
    """

    _readers: ClassVar[int] = 4

    def __init__(
        self,
        redis_url: str,
        key_prefix: str = "ad_seller:",
        *,
        timeout: float = 5.0,
        max_connections: int = MAX_CONNECTIONS,
        wait_replicas: int = 0,
        **settings: Any,
    ) -> None:
        """Check the URL; the server is asked by `connect`."""
        super().__init__(timeout=timeout, **settings)
        if not isinstance(key_prefix, str) or "\0" in key_prefix:
            raise ConfigurationError(f"key_prefix is a str without NUL, not {shown(key_prefix)}")
        if not isinstance(max_connections, int) or max_connections < 2:
            raise ConfigurationError(f"max_connections is at least 2, not {shown(max_connections)}")
        if not isinstance(wait_replicas, int) or isinstance(wait_replicas, bool) or wait_replicas < 0:
            raise ConfigurationError(f"wait_replicas is an int, 0 or more, not {shown(wait_replicas)}")
        self.redis_url = redis_url
        self._url = parse_redis_url(redis_url)
        self._wait_replicas = wait_replicas
        self.key_prefix = key_prefix
        self._max_connections = max_connections
        self._walks = asyncio.Semaphore(_WALKS)
        self._router = self._make_router()
        self._plan = Plan(key_prefix, self._router.split)

    def __repr__(self) -> str:
        """Return the class and the address, without the password."""
        return f"RedisBackend({redact(self.redis_url)!r}, key_prefix={self.key_prefix!r})"

    @property
    def capabilities(self) -> Capabilities:
        """Everything; how durable an acknowledged write is depends on the server's persistence settings."""
        return Capabilities(
            atomic="store",
            expiry="store",
            durable=True,
            shared=True,
            atomic_batches=self._url.kind != "cluster" or _HASH_TAG.search(self.key_prefix) is not None,
        )

    def _make_router(self) -> RedisRouter:
        router = _ROUTERS[self._url.kind]
        try:
            RedisLink(self._url.sample, connections=1, timeout=1.0)  # connects nothing, but looks at the options
            return router(
                self._url,
                connections=self._max_connections,
                timeout=self.timeout,
                wait_replicas=self._wait_replicas,
            )
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{redact(self._url.text)!r}: unknown or wrong option ({_option(error)})"
            ) from None

    # --- the hooks -------------------------------------------------------------------------------------

    async def _open(self) -> None:
        router = self._make_router()
        try:
            await router.open()
        except BaseException:
            await run_to_end(router.close())
            raise
        self._router = router
        self._walks = asyncio.Semaphore(_WALKS)

    async def _close(self) -> None:
        await self._router.close()

    def _abandon(self) -> None:
        self._router.abandon()

    async def _read(self, keys: list[str]) -> Sequence[bytes | Exception | None]:
        names = [self.key_prefix + key for key in keys]
        groups = [part for group in self._router.split(names) for part in _chunks(group, _MGET_KEYS)]
        tasks = [Task(names[group[0]], ("MGET", *(names[i] for i in group))) for group in groups]
        return spread(len(keys), groups, await self._router.send(tasks, writes=False))

    async def _remaining(self, keys: list[str]) -> Sequence[int | Exception]:
        names = [self.key_prefix + key for key in keys]
        groups = self._router.split(names)
        calls = [([names[i] for i in group], ()) for group in groups]
        left = spread(len(keys), groups, await self._router.run(EXPIRIES, calls, writes=False))
        return [1 if isinstance(ms, int) and ms == 0 else ms for ms in left]

    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes: list[Outcome | Exception | None] = [None] * len(commits)
        for loads in self._plan.rounds(commits, outcomes):
            calls = [pack([commits[i] for i in load], self.key_prefix) for load in loads]
            answers = await self._router.run(COMMITS, calls, writes=True)
            for load, answer in zip(loads, answers, strict=True):
                for position, i in enumerate(load):
                    item = answer if isinstance(answer, Exception) else answer[position]
                    if not isinstance(item, Exception):
                        item = unpack(item, commits[i].expectations)
                    outcomes[i] = item
        return [outcome if outcome is not None else [] for outcome in outcomes]

    async def _keys(self, span: Span) -> list[str]:
        found: list[str] = []
        async with asyncio.timeout(self.timeout):
            await self._walks.acquire()
        try:
            async for key in sorted_keys(self._router, self.key_prefix, span, self.timeout):
                found.append(key)
                if span.limit is not None and len(found) >= span.limit:
                    break
        finally:
            self._walks.release()
        return found

    async def _entries(self, span: Span) -> list[tuple[str, bytes]]:
        keys = await self._keys(Span(span.glob, span.after))
        found: list[tuple[str, bytes]] = []
        wanted = len(keys) if span.limit is None else span.limit
        for chunk in _chunks(keys, min(_MGET_KEYS, wanted) or 1):
            for key, text in zip(chunk, await self._read(chunk), strict=True):
                if isinstance(text, Exception):
                    raise text
                if text is not None:
                    found.append((key, text))
            if len(found) >= wanted:
                break
        return found[:wanted]

    # --- what existing agents use on Redis only --------------------------------------------------------

    async def publish(self, channel: str, message: Any) -> int:
        """Send ``message`` as JSON to the subscribers of ``{key_prefix}channel:{channel}``; return how many."""
        text = encode(message, key=channel, max_bytes=self._max_value_bytes)
        name = f"{self.key_prefix}channel:{check_key(channel)}"
        return int(await self._send_write("publish to", channel, ("PUBLISH", name, text)))

    async def incr(self, key: str) -> int:
        """Add 1 to the counter under ``key`` with Redis's own INCR, and return the sum."""
        key = check_key(key)
        try:
            return int(await self._send_write("increment", key, ("INCR", self.key_prefix + key)))
        except StoreUnavailableError as error:
            if "not an integer" not in str(error):
                raise
            raise InvalidArgumentError(
                f"{key!r} does not hold an int that Redis can count with", key=key
            ) from error

    async def _send_write(self, verb: str, key: str, command: Command) -> Any:
        async with self._here().busy():
            [answer] = await self._router.send([Task(self.key_prefix + key, command)], writes=True)
        if isinstance(answer, Exception):
            raise self._explain(verb, key, answer) from answer
        return answer

    async def get_stats(self) -> dict[str, Any]:
        """Return what the server says of itself: clients, memory, commands, hits and misses."""
        async with self._listing("INFO"):
            lines = (await self._router.ask("INFO")).decode(errors="replace").splitlines()
        info = dict(line.split(":", 1) for line in lines if ":" in line)
        numbers = ("connected_clients", "total_commands_processed", "keyspace_hits", "keyspace_misses")
        return {name: int(info[name]) for name in numbers if name in info} | {
            "used_memory_human": info.get("used_memory_human")
        }

    # --- errors ----------------------------------------------------------------------------------------

    def _translate(self, what: str, key: str | None, error: BaseException) -> StorageError:
        return translate(error, what, key, address=redact(self.redis_url), timeout=self.timeout)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _option(error: Exception) -> str:
    """Return what redis-py says of an option, without its own class names."""
    return redact(str(error).rpartition("__init__() ")[2])
