"""Entries in PostgreSQL 13 or newer: for several instances of a seller agent on several machines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import asyncpg

from ..capabilities import Capabilities
from ..concurrency.timeslice import TimeSlice
from ..driver.commit import Commit, Outcome
from ..driver.engine import MISSING
from ..driver.failures import NotStartedError
from ..driver.query import KeyQuery
from ..errors import ConfigurationError, InvalidValueError, StorageError, UnknownOutcomeError, redact, shown
from ..runtime.template import DriverBackend
from . import statements as sql
from .client import PostgresLink
from .commits import Packed, loads, lone_put, text_bytes
from .connection import BrokenError, NotReadyError
from .errors import explain
from .fields import Search
from .indexes import FieldIndexes
from .schema import Fetch, set_up
from .url import parse_postgres_url

_PATIENCE = 0.05  #: seconds that an attempt to write waits for a connection before it goes back into the queue
_KEY_ROWS = 10_000  #: keys of one statement of a listing
_ENTRY_ROWS = 1_000  #: entries, likewise
_MOST_BYTES = 512 * 1024 * 1024  #: of one commit; a message of PostgreSQL's protocol has at most 1 GiB

#: The server undid everything because of others; it may be tried again.
_TRANSIENT = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
#: What is wrong lies in the data of one commit.
_OF_THE_DATA = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)


class PostgresBackend(DriverBackend):
    """A backend on a PostgreSQL database.

    Reads of an event-loop tick are one statement, writes one call of a function that the schema brings. The
    first connect creates the tables; see `postgres_schema`.

    Args:
        database_url: see `parse_postgres_url`.
        pool_min: connections that are kept open.
        pool_max: connections at most.
        timeout: seconds that any call waits for the server.
        statement_cache: False behind a pooler that gives each transaction another session (PgBouncer in
            transaction mode): then nothing is prepared on the server and no session setting is relied on.
        settings: see `DriverBackend`.
    """

    _readers: ClassVar[int] = 4
    _sweeps: ClassVar[bool] = True

    def __init__(
        self,
        database_url: str,
        pool_min: int = 2,
        pool_max: int = 10,
        *,
        timeout: float = 5.0,
        statement_cache: bool = True,
        **settings: Any,
    ) -> None:
        """Check the arguments; the server is asked by `connect`."""
        super().__init__(timeout=timeout, **settings)
        self._dsn = parse_postgres_url(database_url)
        for name, number in (("pool_min", pool_min), ("pool_max", pool_max)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ConfigurationError(f"{name} is a positive int, not {shown(number)}")
        if pool_min > pool_max:
            raise ConfigurationError(f"pool_min ({pool_min}) is more than pool_max ({pool_max})")
        self.database_url = database_url
        self._pool_min = pool_min
        self._pool_max = pool_max
        self._statement_cache = statement_cache
        self._opened: PostgresLink | None = None
        self._indexes: FieldIndexes | None = None

    def __repr__(self) -> str:
        """Return the class and the address, without the password."""
        return f"PostgresBackend({redact(self.database_url)!r})"

    @property
    def capabilities(self) -> Capabilities:
        """Everything; how durable an acknowledged write is depends on the server's ``synchronous_commit``."""
        return Capabilities(atomic="store", expiry="store", durable=True, shared=True, atomic_batches=True)

    async def cleanup_expired(self) -> int:
        """Remove all expired entries now, rather than in the background; return how many there were."""
        async with self._listing("expired entries"):
            return await self._sweep_all()

    # --- life cycle ------------------------------------------------------------------------------------

    async def _open(self) -> None:
        wait = self.timeout - self._reserve
        link = PostgresLink(self._options(), least=self._pool_min, most=self._pool_max, timeout=wait)

        async def prepare(fetch: Fetch) -> None:
            await set_up(fetch, self.timeout)

        await link.open(prepare)
        self._opened = link
        # A session of one's own is needed for building, which a pooler does not give.
        self._indexes = FieldIndexes(link, may_build=self._statement_cache and self._pool_max > 1)

    def _options(self) -> dict[str, Any]:
        """Return what `asyncpg.connect` is called with."""
        settings = {} if "application_name=" in self._dsn else {"application_name": sql.APPLICATION}
        if not self._statement_cache:
            return {"dsn": self._dsn, "statement_cache_size": 0, "server_settings": settings}
        return {
            "dsn": self._dsn,
            "max_cached_statement_lifetime": 0,  # for ever
            "server_settings": settings | sql.session_settings(self.timeout),
        }

    async def _close(self) -> None:
        link, self._opened = self._opened, None
        if self._indexes is not None:
            await self._indexes.stop()
        if link is not None:
            await link.close()

    def _abandon(self) -> None:
        if self._opened is not None:
            self._opened.abandon()
        self._opened = None

    @property
    def _link(self) -> PostgresLink:
        assert self._opened is not None, "the template calls the hooks between _open and _close only"  # noqa: S101
        return self._opened

    @property
    def _reserve(self) -> float:
        """Twice what an attempt waits for a connection; less for a short time-out: the server's ends first."""
        return min(2 * _PATIENCE, 0.08 * self.timeout)

    # --- the hooks -------------------------------------------------------------------------------------

    async def _read(self, keys: list[str]) -> Sequence[bytes | None]:
        if len(keys) == 1:
            rows = await self._link.read(sql.READ_ONE, keys[0])
            return [rows[0][0].encode() if rows else None]
        found = dict(await self._link.read(sql.READ, keys))
        return [None if (text := found.get(key)) is None else text.encode() for key in keys]

    async def _remaining(self, keys: list[str]) -> Sequence[int]:
        found = dict(await self._link.read(sql.REMAINING, keys))
        return [found.get(key, MISSING) for key in keys]

    async def _apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for start, end in loads(commits):
            outcomes += await self._apply_load(commits[start:end], first=start == 0)
        return outcomes

    async def _apply_load(self, commits: list[Commit], *, first: bool) -> Sequence[Outcome | Exception]:
        """Apply commits in one call; only if it is the ``first`` may all of the batch be tried again."""
        if len(commits) == 1 and (size := text_bytes(commits[0])) > _MOST_BYTES:
            return [InvalidValueError(f"One commit has at most {_MOST_BYTES:,} bytes, this has {size:,}; split it")]
        try:
            return await self._send(commits, _PATIENCE if first else None)
        except (NotReadyError, *_TRANSIENT) as error:
            if first:
                raise NotStartedError(_obstacle(error)) from error
            return [error] * len(commits)
        except (BrokenError, TimeoutError) as error:
            return [_unknown(commit, error) for commit in commits]
        except _OF_THE_DATA as error:
            if len(commits) == 1:
                return [error]
            return [(await self._apply_load([commit], first=False))[0] for commit in commits]

    async def _send(self, commits: list[Commit], patience: float | None) -> list[Outcome]:
        if (put := lone_put(commits)) is not None:
            await self._link.write(sql.PUT_ONE, put.key, put.text.decode(), put.ttl_ms, patience=patience)
            return [[True]]
        packed = Packed(commits)
        if packed.is_plain:
            await self._link.write(sql.PUT, *packed.puts, patience=patience)
            return packed.outcomes((), ())
        [(unmet, hits)] = await self._link.write(sql.COMMIT, *packed.arguments, patience=patience)
        return packed.outcomes(unmet, hits)

    async def _keys(self, span: KeyQuery) -> list[str]:
        found: list[str] = []
        async for keys in self._pages("key", span, _KEY_ROWS):
            found += keys if span.exact else filter(span.has, keys)
            if span.limit is not None and len(found) >= span.limit:
                return found[: span.limit]
        return found

    async def _entries(self, span: KeyQuery) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        search = await self._indexes.narrowest(span) if span.where and self._indexes else None
        async for rows in self._pages("key, value", span, _ENTRY_ROWS, search):
            found += [(key, text.encode()) for key, text in rows if span.exact or span.has(key)]
            if span.limit is not None and len(found) >= span.limit:
                return found[: span.limit]
        return found

    async def _count(self, span: KeyQuery) -> int:
        if not span.exact:
            return len(await self._keys(span))
        statement, parameters = sql.select("count(*)", span, None, None)
        [(number,)] = await self._link.read(statement, *parameters, cancellable=True)
        return int(number)

    async def _pages(
        self, columns: str, span: KeyQuery, rows: int, search: Search | None = None
    ) -> AsyncIterator[list[Any]]:
        """Yield the keys or rows of the span's range, or of a search in it, so many that no answer takes long."""
        if span.exact and span.limit is not None:
            rows = min(rows, span.limit)
        after = span.after if span.after is not None and span.after >= span.glob.prefix else None
        pace = TimeSlice()
        while True:
            statement, parameters = search.select(after, rows) if search else sql.select(columns, span, after, rows)
            page = await self._link.read(statement, *parameters, cancellable=True)
            if columns == "key":
                [(page,)] = page
            yield page
            if len(page) < rows:
                return
            after = page[-1] if columns == "key" else page[-1][0]
            await pace.checkpoint()

    async def _sweep(self, rows: int) -> int:
        return len(await self._link.read(sql.SWEEP, rows, cancellable=True))

    def _translate(self, what: str, key: str | None, error: BaseException) -> StorageError:
        return explain(what, key, error, address=redact(self.database_url), timeout=self.timeout)


def _obstacle(error: Exception) -> str:
    if isinstance(error, NotReadyError):
        return "no connection to the server could be made in time"
    return f"other sessions hold what it needs ({error}); end the long transaction among them"


def _unknown(commit: Commit, error: Exception) -> UnknownOutcomeError:
    unknown = UnknownOutcomeError(
        f"The connection was lost after the write of {commit.first_key!r} had been sent ({error}). It may or may "
        "not have been applied: read the key before writing again.",
        key=commit.first_key,
    )
    unknown.__cause__ = error
    return unknown
