"""Entries in Redis 6.2 or newer, or Valkey: for several instances of a seller agent."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar
from urllib.parse import urlsplit

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from .capabilities import Capabilities
from .codec import encode
from .commit import Commit, Outcome, Put
from .driver import DriverBackend
from .errors import (
    ConfigurationError,
    InvalidArgumentError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    redact,
    shown,
)
from .keys import check_key
from .listing import Pace, Span
from .patterns import escape
from .redis_link import NotSentError, RedisLink
from .redis_scripts import COMMITS, EXPIRIES, pack, unpack

#: Connections at most; batching makes do with few.
MAX_CONNECTIONS = 8

_SCAN_COUNT = 10_000  #: keys that one SCAN looks at: few round trips, and at most a few ms of the server's time
_MGET_KEYS = 1_000  #: keys of one MGET
_SCRIPT_WRITES = 1_000  #: writes of one script, unless a single commit has more; the server does nothing else then
_SCRIPT_BYTES = 8 * 1024 * 1024  #: text of one script's values, likewise


class RedisBackend(DriverBackend):
    """A backend on one Redis server.

    Reads of an event-loop tick are one MGET, writes one script. Every key is stored under ``key_prefix``, as
    JSON text with Redis's own expiry.

    Args:
        redis_url: ``redis://host:6379/0``, ``rediss://…`` with TLS, or ``unix:///path?db=0``; user, password and
            options as redis-py takes them.
        key_prefix: what stands before each key in Redis.
        timeout: seconds that any call waits for the server.
        max_connections: how many at most.
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
        **settings: Any,
    ) -> None:
        """Check the URL; the server is asked by `connect`."""
        super().__init__(timeout=timeout, **settings)
        if not isinstance(key_prefix, str) or "\0" in key_prefix:
            raise ConfigurationError(f"key_prefix is a str without NUL, not {shown(key_prefix)}")
        if not isinstance(max_connections, int) or max_connections < 2:
            raise ConfigurationError(f"max_connections is at least 2, not {shown(max_connections)}")
        self.redis_url = redis_url
        self.key_prefix = key_prefix
        self._max_connections = max_connections
        self._link: RedisLink = self._make_link()

    def __repr__(self) -> str:
        """Return the class and the address, without the password."""
        return f"RedisBackend({redact(self.redis_url)!r}, key_prefix={self.key_prefix!r})"

    @property
    def capabilities(self) -> Capabilities:
        """Everything; how durable an acknowledged write is depends on the server's persistence settings."""
        return Capabilities(atomic="store", expiry="store", durable=True, shared=True, atomic_batches=True)

    def _make_link(self) -> RedisLink:
        _check_url(self.redis_url)
        try:
            return RedisLink(self.redis_url, connections=self._max_connections, timeout=self.timeout)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"Not a Redis URL: {redact(self.redis_url)!r} ({redact(str(error))})"
            ) from None

    # --- the hooks -------------------------------------------------------------------------------------

    async def _open(self) -> None:
        link = self._make_link()
        try:
            await link.read("PING")
        except BaseException:
            await link.close()
            raise
        self._link = link

    async def _close(self) -> None:
        await self._link.close()

    def _abandon(self) -> None:
        self._link.abandon()

    async def _read(self, keys: list[str]) -> Sequence[bytes | None]:
        texts: list[bytes | None] = []
        for chunk in _chunks(keys, _MGET_KEYS):
            texts += await self._link.read("MGET", *(self.key_prefix + key for key in chunk))
        return texts

    async def _remaining(self, keys: list[str]) -> Sequence[int]:
        left = await self._link.run(EXPIRIES, [self.key_prefix + key for key in keys], (), writes=False)
        return [1 if ms == 0 else ms for ms in left]

    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for part in _script_loads(commits):
            keys, arguments = pack(part, self.key_prefix)
            try:
                answers = await self._link.run(COMMITS, keys, arguments, writes=True)
            except (NotSentError, StorageError, RedisError) as error:
                outcomes += [error] * len(part)
            else:
                outcomes += [unpack(a, c.expectations) for a, c in zip(answers, part, strict=True)]
        return outcomes

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
        prefix = self.key_prefix.encode()
        runs: list[list[str]] = []
        cursor: bytes | int = 0
        pattern = escape(self.key_prefix + span.glob.prefix) + ("" if span.glob.literal else "*")
        pace = Pace()
        while True:
            cursor, raw = await self._link.read("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
            keys = (_own_key(key[len(prefix) :]) for key in raw)
            runs.append(sorted(key for key in keys if key is not None))
            await pace.rest()
            if int(cursor) == 0:
                break
        previous = None
        for position, key in enumerate(heapq.merge(*runs)):
            if key != previous and span.has(key):
                yield key
            previous = key
            if position % 256 == 255:
                await pace.rest()

    # --- what existing agents use on Redis only --------------------------------------------------------

    async def publish(self, channel: str, message: Any) -> int:
        """Send ``message`` as JSON to the subscribers of ``{key_prefix}channel:{channel}``; return how many."""
        text = encode(message, key=channel, max_bytes=self._max_value_bytes)
        async with self._listing(check_key(channel)):
            return int(await self._link.write("PUBLISH", f"{self.key_prefix}channel:{channel}", text, key=channel))

    async def incr(self, key: str) -> int:
        """Add 1 to the counter under ``key`` with Redis's own INCR, and return the sum."""
        self._here()
        try:
            return int(await self._link.write("INCR", self.key_prefix + check_key(key), key=key))
        except ResponseError as error:
            if "not an integer" not in str(error):
                raise self._explain("increment", key, error) from error
            raise InvalidArgumentError(
                f"{key!r} does not hold an int that Redis can count with", key=key
            ) from error
        except (NotSentError, RedisError, StorageError) as error:
            raise self._explain("increment", key, error) from error

    async def get_stats(self) -> dict[str, Any]:
        """Return what the server says of itself: clients, memory, commands, hits and misses."""
        async with self._listing("INFO"):
            lines = (await self._link.read("INFO")).decode(errors="replace").splitlines()
        info = dict(line.split(":", 1) for line in lines if ":" in line)
        numbers = ("connected_clients", "total_commands_processed", "keyspace_hits", "keyspace_misses")
        return {name: int(info[name]) for name in numbers if name in info} | {
            "used_memory_human": info.get("used_memory_human")
        }

    # --- errors ----------------------------------------------------------------------------------------

    def _translate(self, what: str, key: str | None, error: BaseException) -> StorageError:
        cause = error.__cause__ if isinstance(error, NotSentError) and error.__cause__ else error
        address = redact(self.redis_url)
        reason = redact(str(cause))
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


def _check_url(url: object) -> None:
    if not isinstance(url, str) or not url.strip():
        raise ConfigurationError(
            "Redis URL required: give redis_url or set REDIS_URL, e.g. redis://localhost:6379/0"
        )
    scheme = urlsplit(url).scheme
    if scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError(f"A Redis URL starts with redis://, rediss:// or unix://, not {redact(url)!r}")


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _script_loads(commits: list[Commit]) -> Iterator[list[Commit]]:
    """Split into parts that do not keep the server from other work for long; a commit stays whole."""
    part: list[Commit] = []
    writes = size = 0
    for commit in commits:
        more = len(commit.expectations) + len(commit.writes)
        text = sum(len(write.text) for write in commit.writes if isinstance(write, Put))
        if part and (writes + more > _SCRIPT_WRITES or size + text > _SCRIPT_BYTES):
            yield part
            part, writes, size = [], 0, 0
        part.append(commit)
        writes += more
        size += text
    if part:
        yield part
