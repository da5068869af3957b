"""Entries in Redis 6.2 or newer, or Valkey: for several instances of a seller agent."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any, ClassVar

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from .capabilities import Capabilities
from .codec import encode
from .commit import Commit, Outcome, Put
from .driver import DriverBackend
from .errors import (
    ConfigurationError,
    CrossStoreError,
    InvalidArgumentError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    UnknownOutcomeError,
    redact,
    shown,
)
from .keys import check_key
from .listing import Pace, Span
from .patterns import escape
from .process import run_to_end
from .redis_cluster import ClusterRouter
from .redis_link import BrokenError, Command, NotSentError, RedisLink
from .redis_router import RedisRouter, Task, error_code
from .redis_scripts import COMMITS, EXPIRIES, pack, unpack
from .redis_sentinel import SentinelRouter, UnknownServiceError
from .redis_url import parse_redis_url

#: Connections at most; batching makes do with few.
MAX_CONNECTIONS = 8

_SCAN_COUNT = 10_000  #: keys that one SCAN looks at: few round trips, and at most a few ms of the server's time
_MGET_KEYS = 1_000  #: keys of one MGET
_SCRIPT_PARTS = 1_000  #: reads and writes of one script, unless one commit has more: the server does nothing else
_SCRIPT_BYTES = 8 * 1024 * 1024  #: text of one script's values, likewise


#: Redis takes at most 1,048,576 arguments in one command, a write is four of them.
#: https://redis.io/docs/latest/develop/reference/protocol-spec/
MAX_COMMIT_PARTS = 200_000

_ROUTERS: dict[str, type[RedisRouter]] = {
    "server": RedisRouter,
    "sentinel": SentinelRouter,
    "cluster": ClusterRouter,
}
_WRITING = ("Cannot write", "Cannot increment", "Cannot publish")


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
        self._router = self._make_router()

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
            atomic_batches=self._url.kind != "cluster",
        )

    def _make_router(self) -> RedisRouter:
        router = _ROUTERS[self._url.kind]
        try:
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

    async def _close(self) -> None:
        await self._router.close()

    def _abandon(self) -> None:
        self._router.abandon()

    async def _read(self, keys: list[str]) -> Sequence[bytes | None]:
        names = [self.key_prefix + key for key in keys]
        groups = [part for group in self._router.split(names) for part in _chunks(group, _MGET_KEYS)]
        tasks = [Task(names[group[0]], ("MGET", *(names[i] for i in group))) for group in groups]
        return _spread(len(keys), groups, await self._router.send(tasks, writes=False))

    async def _remaining(self, keys: list[str]) -> Sequence[int]:
        names = [self.key_prefix + key for key in keys]
        groups = self._router.split(names)
        calls = [([names[i] for i in group], ()) for group in groups]
        left = _spread(len(keys), groups, await self._router.run(EXPIRIES, calls, writes=False))
        return [1 if ms == 0 else ms for ms in left]

    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes: list[Outcome | Exception | None] = [None] * len(commits)
        for loads in self._plan(commits, outcomes):
            calls = [pack([commits[i] for i in load], self.key_prefix) for load in loads]
            answers = await self._router.run(COMMITS, calls, writes=True)
            for load, answer in zip(loads, answers, strict=True):
                for position, i in enumerate(load):
                    failed = isinstance(answer, Exception)
                    outcomes[i] = answer if failed else unpack(answer[position], commits[i].expectations)
        return [outcome if outcome is not None else [] for outcome in outcomes]

    def _plan(self, commits: list[Commit], outcomes: list[Outcome | Exception | None]) -> list[list[list[int]]]:
        """Return rounds of script calls, as positions of commits; note the outcome of what cannot be sent.

        The calls of a round go to different slots. Commits of one slot are applied in their order.
        """
        positions: list[int] = []
        for i, commit in enumerate(commits):
            obstacle = self._obstacle(commit)
            if obstacle is not None or commit.first_key is None:
                outcomes[i] = obstacle or []
            else:
                positions.append(i)
        firsts = [f"{self.key_prefix}{commits[i].first_key}" for i in positions]
        groups = [[positions[place] for place in group] for group in self._router.split(firsts)]
        loads = [list(_script_loads(commits, group)) for group in groups]
        return [[load for load in turn if load] for turn in zip_longest(*loads)]

    def _obstacle(self, commit: Commit) -> StorageError | None:
        """Return the error of a commit that Redis cannot take whole."""
        size = len(commit.expectations) + len(commit.writes)
        if size > MAX_COMMIT_PARTS:
            return InvalidArgumentError(
                f"A commit on Redis has at most {MAX_COMMIT_PARTS:,} reads and writes, this has {size:,}; split it",
                key=commit.first_key,
            )
        if size == 1 or self._url.kind != "cluster":
            return None
        keys = commit.keys
        if len(self._router.split([self.key_prefix + key for key in keys])) > 1:
            return CrossStoreError(
                f"The keys {keys[0]!r} and {keys[-1]!r} of one commit lie in different slots of the cluster. "
                "A key_prefix in braces, e.g. key_prefix='{tenant}:', puts all entries of a tenant into one slot; "
                "then they can be committed together.",
                key=commit.first_key,
            )
        return None

    async def _keys(self, span: Span) -> list[str]:
        found: list[str] = []
        async for key in self._sorted_keys(span):
            found.append(key)
            if span.limit is not None and len(found) >= span.limit:
                break
        return found

    async def _entries(self, span: Span) -> list[tuple[str, bytes]]:
        keys = await self._keys(Span(span.glob, span.after))
        found: list[tuple[str, bytes]] = []
        wanted = len(keys) if span.limit is None else span.limit
        for chunk in _chunks(keys, min(_MGET_KEYS, wanted) or 1):
            texts = await self._read(chunk)
            found += [(key, text) for key, text in zip(chunk, texts, strict=True) if text is not None]
            if len(found) >= wanted:
                break
        return found[:wanted]

    async def _sorted_keys(self, span: Span) -> AsyncIterator[str]:
        """Yield the matching keys in order: Redis gives them in none, and some twice."""
        runs: list[list[str]] = []
        await asyncio.gather(*(self._scan_server(link, span, runs) for link in await self._router.masters()))
        pace = Pace()
        previous = None
        for position, key in enumerate(heapq.merge(*runs)):
            if key != previous and span.has(key):
                yield key
            previous = key
            if position % 256 == 255:
                await pace.rest()

    async def _scan_server(self, link: RedisLink, span: Span, runs: list[list[str]]) -> None:
        """Add sorted runs of the keys on one server that start as the matching ones do."""
        prefix = self.key_prefix.encode()
        pattern = escape(self.key_prefix + span.glob.prefix) + ("" if span.glob.literal else "*")
        pace = Pace()
        cursor: bytes | int = 0
        while True:
            deadline = asyncio.get_running_loop().time() + self.timeout
            [answer] = await link.pipeline(
                [("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT, "TYPE", "string")], deadline
            )
            if isinstance(answer, ResponseError):
                raise answer
            cursor, raw = answer
            keys = (_own_key(name[len(prefix) :]) for name in raw)
            runs.append(sorted(key for key in keys if key is not None))
            await pace.rest()
            if int(cursor) == 0:
                return

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
        cause = error.__cause__ or error if isinstance(error, NotSentError | BrokenError) else error
        address = redact(self.redis_url)
        reason = redact(str(cause))
        if isinstance(error, BrokenError) and what.startswith(_WRITING):
            return UnknownOutcomeError(
                f"{what}: the connection to {address} was lost after the write had been sent ({reason}). It may or "
                "may not have been applied: read the key before writing again.",
                key=key,
            )
        if isinstance(cause, ResponseError) and "OOM command not allowed" in reason:  # inside a script, before 7.0
            cause = OutOfMemoryError(reason)
        if isinstance(cause, ResponseError) and error_code(cause) == "READONLY":
            cause = ReadOnlyError(reason)
        match cause:
            case AuthenticationError() | AuthorizationError():
                return StorageConnectionError(
                    f"{what}: {address} refused the login ({reason}); check user and password.", key=key
                )
            case OutOfMemoryError():
                return StoreUnavailableError(
                    f"{what}: Redis is out of memory and wrote nothing. Raise maxmemory or remove entries.",
                    key=key,
                )
            case ReadOnlyError():
                return StoreUnavailableError(f"{what}: {address} is a read-only replica; name its master.", key=key)
            case ResponseError():
                return StoreUnavailableError(f"{what}: Redis refused: {reason}", key=key)
            case UnknownServiceError():
                return StorageConnectionError(
                    f"{what}: {reason}; check the service name in {address} (SENTINEL MASTERS lists them).", key=key
                )
            case TimeoutError():
                return self._timed_out(what, key)
        if "imeout" in reason:  # redis-py's TimeoutError is not Python's
            return self._timed_out(what, key)
        return StorageConnectionError(
            f"{what}: {address} cannot be reached ({reason}). Is the server running, and the address right?",
            key=key,
        )

    def _timed_out(self, what: str, key: str | None) -> StorageTimeoutError:
        return StorageTimeoutError(
            f"{what}: {redact(self.redis_url)} did not answer within {self.timeout:g} s. Is it frozen?",
            key=key,
        )


def _own_key(raw: bytes) -> str | None:
    """Return the key, or None for a name that a foreign writer chose and that no key of ours can be."""
    try:
        return check_key(raw.decode())
    except ValueError:
        return None


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _option(error: Exception) -> str:
    """Return what redis-py says of an option, without its own class names."""
    return redact(str(error).rpartition("__init__() ")[2])


def _spread(size: int, groups: list[list[int]], answers: list[Any]) -> list[Any]:
    """Put the answers for groups of keys into the order of the keys; raise the first that is an error."""
    spread: list[Any] = [None] * size
    for group, answer in zip(groups, answers, strict=True):
        if isinstance(answer, Exception):
            raise answer
        for i, item in zip(group, answer, strict=True):
            spread[i] = item
    return spread


def _script_loads(commits: list[Commit], positions: list[int]) -> Iterator[list[int]]:
    """Split into parts that do not keep the server from other work for long; a commit stays whole."""
    part: list[int] = []
    parts = size = 0
    for i in positions:
        more = len(commits[i].expectations) + len(commits[i].writes)
        text = sum(len(write.text) for write in commits[i].writes if isinstance(write, Put))
        if part and (parts + more > _SCRIPT_PARTS or size + text > _SCRIPT_BYTES):
            yield part
            part, parts, size = [], 0, 0
        part.append(i)
        parts += more
        size += text
    if part:
        yield part
