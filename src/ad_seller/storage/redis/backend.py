"""Entries in Redis 6.2 or newer, or Valkey: for several instances of a seller agent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ..capabilities import Capabilities
from ..concurrency.tasks import run_to_end
from ..driver.commit import Commit, Outcome
from ..driver.engine import SWEEP_PAUSE, SWEEP_ROWS
from ..driver.query import KeyQuery
from ..errors import ConfigurationError, InvalidArgumentError, StorageError, StoreUnavailableError, redact, shown
from ..records.codec import encode
from ..records.keys import check_key
from ..runtime.template import DriverBackend
from .batches import Plan, spread
from .cluster import ClusterRouter
from .errors import translate
from .index import index_name
from .listings import Listings
from .pool import RedisLink
from .router import RedisRouter, Task, one_group
from .scripts import COUNT, EXPIRIES, PUTS, Call, Script, packed, unpacked, whole_batch
from .sentinel import SentinelRouter
from .slots import lane_of
from .url import parse_redis_url

#: Connections at most; batching makes do with few.
MAX_CONNECTIONS = 8

_MGET_KEYS = 1_000  #: keys of one MGET
_MGET_BYTES = 8_000_000  #: bytes that one MGET of a listing is likely to bring; a guess from what came so far
_FIRST_KEYS = 16  #: keys of a listing's first MGET, before anything is known

#: Steps over the index that one look for names of expired entries takes at least, with `SWEEP_ROWS` names each.
_SWEEP_STEPS = 20

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
    _sweeps: ClassVar[bool] = True

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
        self._router = self._make_router()
        #: Whether all entries are on one server, in one slot.
        self._is_in_one_place = self._url.kind != "cluster" or _HASH_TAG.search(key_prefix) is not None
        self._plan = Plan(key_prefix, self._split)
        self._index_name = index_name(key_prefix) if self._is_in_one_place else None
        self._listings = self._make_listings(self._router)
        if not self._is_in_one_place:
            self._lane_of = lambda key: lane_of(key_prefix + key)

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
            atomic_batches=self._is_in_one_place,
        )

    def _make_router(self) -> RedisRouter:
        router = _ROUTERS[self._url.kind]
        try:
            RedisLink(self._url.sample, connections=1, timeout=1.0)  # connects nothing, but looks at the options
            return router(
                self._url,
                connections=self._max_connections,
                timeout=self.timeout - self._reserve,
                wait_replicas=self._wait_replicas,
            )
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{redact(self._url.text)!r}: unknown or wrong option ({_option(error)})"
            ) from None

    def _split(self, names: Sequence[str]) -> list[list[int]]:
        """Return the positions of the names in groups that one command can carry."""
        return one_group(names) if self._is_in_one_place else self._router.split(names)

    def _make_listings(self, router: RedisRouter) -> Listings:
        return Listings(router, self.key_prefix, self.timeout - self._reserve, indexed=self._is_in_one_place)

    @property
    def _reserve(self) -> float:
        """What an event loop under load needs to hand out errors: the callers have them within their time."""
        return min(0.05, 0.02 * self.timeout)

    # --- the hooks -------------------------------------------------------------------------------------

    async def _open(self) -> None:
        router = self._make_router()
        try:
            await router.open()
        except BaseException:
            await run_to_end(router.close())
            raise
        self._router = router
        self._listings = self._make_listings(router)

    async def _close(self) -> None:
        await self._listings.close()
        await self._router.close()

    def _abandon(self) -> None:
        self._router.abandon()
        self._listings = self._make_listings(self._router)  # the old one holds a connection

    async def _read(self, keys: list[str]) -> Sequence[bytes | Exception | None]:
        names = [self.key_prefix + key for key in keys]
        groups = [
            group[i : i + _MGET_KEYS] for group in self._split(names) for i in range(0, len(group), _MGET_KEYS)
        ]
        tasks = [Task(names[group[0]], ("MGET", *(names[i] for i in group))) for group in groups]
        return spread(len(keys), groups, await self._router.send(tasks, writes=False))

    async def _remaining(self, keys: list[str]) -> Sequence[int | Exception]:
        names = [self.key_prefix + key for key in keys]
        groups = self._split(names)
        calls = [([names[i] for i in group], ()) for group in groups]
        left = spread(len(keys), groups, await self._router.run(EXPIRIES, calls, writes=False))
        return [1 if isinstance(ms, int) and ms == 0 else ms for ms in left]

    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        if self._is_in_one_place and (call := whole_batch(commits, self.key_prefix, self._index_name)):
            [answer] = await self._router.run(PUTS, [call], writes=True)
            return unpacked(answer, commits)
        outcomes: list[Outcome | Exception | None] = [None] * len(commits)
        for loads in self._plan.rounds(commits, outcomes):
            await self._apply_round(loads, commits, outcomes)
        return [outcome if outcome is not None else [] for outcome in outcomes]

    async def _apply_round(
        self, loads: list[list[int]], commits: list[Commit], outcomes: list[Outcome | Exception | None]
    ) -> None:
        """Run one script for each load; their keys lie in different slots."""
        calls: dict[Script, list[Call]] = {}
        places: dict[Script, list[list[int]]] = {}
        for load in loads:
            script, call = packed([commits[i] for i in load], self.key_prefix, self._index_name)
            calls.setdefault(script, []).append(call)
            places.setdefault(script, []).append(load)
        for script in calls:
            answers = await self._router.run(script, calls[script], writes=True)
            for load, answer in zip(places[script], answers, strict=True):
                for i, outcome in zip(load, unpacked(answer, [commits[i] for i in load]), strict=True):
                    outcomes[i] = outcome

    async def _keys(self, span: KeyQuery) -> list[str]:
        return await self._listings.keys(span)

    async def _count(self, span: KeyQuery) -> int:
        return await self._listings.count(span)

    async def _entries(self, span: KeyQuery) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        while True:
            missing = None if span.limit is None else span.limit - len(found)
            keys = await self._listings.keys(replace(span, limit=missing), living=False)
            found += await self._texts(keys)
            if missing is None or len(keys) < missing or len(found) >= (span.limit or 0):
                return found
            span = replace(span, after=keys[-1])  # some were gone

    async def _texts(self, keys: list[str]) -> list[tuple[str, bytes]]:
        """Return the keys that have a text, with it; not too many bytes at once."""
        found: list[tuple[str, bytes]] = []
        size, position, many = 0, 0, _FIRST_KEYS
        while position < len(keys):
            chunk = keys[position : position + many]
            position += len(chunk)
            for key, text in zip(chunk, await self._read(chunk), strict=True):
                if isinstance(text, Exception):
                    raise text
                if text is not None:
                    found.append((key, text))
                    size += len(text)
            many = max(1, min(_MGET_KEYS, _MGET_BYTES * position // (size + 1)))
        return found

    async def _sweep(self, rows: int) -> int:
        return await self._listings.sweep(rows)

    async def _sweep_all(self) -> int:
        """Go on with the index for a while, and for as long as much is gone, as Redis does with expired keys."""
        total = gone = await self._sweep(SWEEP_ROWS)
        steps = 1
        while not self._listings.all_swept and (steps < _SWEEP_STEPS or gone > SWEEP_ROWS // 4):
            await asyncio.sleep(SWEEP_PAUSE)
            gone = await self._sweep(SWEEP_ROWS)
            total += gone
            steps += 1
        return total

    # --- what existing agents use on Redis only --------------------------------------------------------

    async def publish(self, channel: str, message: Any) -> int:
        """Send ``message`` as JSON to the subscribers of ``{key_prefix}channel:{channel}``; return how many."""
        text = encode(message, key=channel, max_bytes=self._max_value_bytes)
        name = f"{self.key_prefix}channel:{check_key(channel)}"
        task = Task(name, ("PUBLISH", name, text))
        return int(await self._write_now("publish to", channel, lambda: self._router.send([task], writes=True)))

    async def incr(self, key: str) -> int:
        """Add 1 to the counter under ``key`` with Redis's own INCR, and return the sum."""
        key = check_key(key)
        try:
            name = self.key_prefix + key
            call = ([name] if self._index_name is None else [name, self._index_name], ())
            [sum_] = await self._write_now("increment", key, lambda: self._router.run(COUNT, [call], writes=True))
            return int(sum_)
        except StoreUnavailableError as error:
            if "not an integer" not in str(error):
                raise
            raise InvalidArgumentError(
                f"{key!r} does not hold an int that Redis can count with", key=key
            ) from error

    async def _write_now(self, verb: str, key: str, send: Callable[[], Awaitable[list[Any]]]) -> Any:
        """Send one write beside the batches, and return its answer."""
        async with self._here().busy():
            [answer] = await send()
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


def _option(error: Exception) -> str:
    """Return what redis-py says of an option, without its own class names."""
    return redact(str(error).rpartition("__init__() ")[2])
