"""Entries in one SQLite file: the default. Several processes of one machine can share it."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import aiosqlite

from ..capabilities import Capabilities
from ..driver.engine import Engine
from ..errors import ConfigurationError, shown
from ..options import takes_url_options
from ..records.expiry import SteadyClock
from ..runtime.template import DriverBackend
from .database import Database
from .engine import SQLiteEngine
from .fields import FieldIndexes
from .shared import SharedDatabase
from .url import MEMORY, parse_sqlite_url

if TYPE_CHECKING:
    from ..seller.views import View


class SQLiteBackend(DriverBackend):
    """A backend on a SQLite file in WAL mode, for any number of event loops.

    Writes go through one connection, reads through another, each on a thread of its own. All writes of an
    event-loop tick are one transaction.

    Args:
        database_url: see `parse_sqlite_url`.
        timeout: seconds that a write waits while other processes hold the lock.
        create: whether `connect` makes the file and the table where they are missing.
        synchronous: "FULL": an acknowledged write survives a power failure; "NORMAL": only the end of the
            process. See https://www.sqlite.org/pragma.html#pragma_synchronous.
        settings: see `DriverBackend`.
    """

    _open_state = ("_shared", "_steady")

    @takes_url_options("sqlite")
    def __init__(
        self,
        database_url: str = "sqlite:///./ad_seller.db",
        *,
        timeout: float = 10.0,
        create: bool = True,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        **settings: Any,
    ) -> None:
        """Keep the settings; the file is opened by `connect`."""
        if synchronous not in ("FULL", "NORMAL"):
            raise ConfigurationError(f"synchronous is FULL or NORMAL, not {shown(synchronous)}")
        self.path = parse_sqlite_url(database_url)
        self._synchronous = synchronous
        self._create = create
        super().__init__(timeout=timeout, **settings)

    def _start_over(self) -> None:
        super()._start_over()
        self._steady = SteadyClock(self._clock)
        self._fields = FieldIndexes.of(self._indexes)
        self._shared = SharedDatabase(self._make_database)

    def __repr__(self) -> str:
        """Return the class and the path."""
        return f"SQLiteBackend({self.path!r})"

    @property
    def db_path(self) -> str:
        """The path, under the name that older agents read."""
        return self.path

    @property
    def _connection(self) -> aiosqlite.Connection | None:
        """The connection for writes, which tests of older agents look at; None while it is not open."""
        database = self._shared.current
        return database.writer.connection if database is not None and database.is_open else None

    @property
    def capabilities(self) -> Capabilities:
        """Everything, on one machine; a database in memory is neither durable nor shared."""
        on_disk = self.path != MEMORY
        return Capabilities(atomic="store", expiry="store", durable=on_disk, shared=on_disk, atomic_batches=True)

    def _as_found(self) -> Self:
        if not (self._create and self.path != MEMORY):
            return self
        found = copy.copy(self)
        found._create = False
        return found

    def view_statements(self, views: tuple[View, ...] | None = None) -> list[str]:
        """Return the statements that `create_views` runs.

        Raises:
            InvalidArgumentError: a name is not lower case, digits and _.
        """
        from .views import view_statements  # these, too, when somebody asks

        return list(view_statements(views).values())

    async def create_views(self, views: tuple[View, ...] | None = None) -> list[str]:
        """Make views of a seller's records for dashboards, anew where they are there; return their names.

        Args:
            views: which; None for those of a seller, `VIEWS`.

        Raises:
            StoreUnavailableError: something else has one of the names; nothing was changed.
        """
        from ..seller.views import checked
        from .views import create

        return await self._change_views("create", partial(create, views=checked(views)))

    async def drop_views(self, views: tuple[View, ...] | None = None) -> list[str]:
        """Remove the views that `create_views` made; return the names of those that were there.

        Raises:
            StoreUnavailableError: something else has one of the names; nothing was changed.
        """
        from ..seller.views import checked
        from .views import drop

        return await self._change_views("drop", partial(drop, views=checked(views)))

    async def _change_views(self, verb: str, work: Callable[[sqlite3.Connection], list[str]]) -> list[str]:
        with self._guarded(await self._here(), verb, "views", writes=True) as session:
            assert isinstance(session.engine, SQLiteEngine)  # noqa: S101
            return await session.engine.change_schema(work)

    async def build_indexes(self) -> bool:
        """Make the indexes that are missing or something else than their names say; writers wait for each."""
        with self._guarded(await self._here(), "build", "indexes", writes=True) as session:
            assert isinstance(session.engine, SQLiteEngine)  # noqa: S101
            await session.engine.build_indexes()
        return True

    def _make_database(self) -> Database:
        return Database(
            self.path,
            self._steady,
            synchronous=self._synchronous,
            patience=self.timeout,
            create=self._create or self.path == MEMORY,
            fields=self._fields,
        )

    def _make_engine(self) -> Engine:
        return SQLiteEngine(self._shared, self.path, self._steady, self.timeout, self._fields)

    async def _close_shared(self) -> None:
        await self._shared.close()
