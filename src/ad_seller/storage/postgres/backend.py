"""Entries in PostgreSQL 13 or newer: for several instances of a seller agent on several machines."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ..capabilities import Capabilities
from ..driver.engine import Engine
from ..errors import ConfigurationError, redact, shown
from ..options import takes_url_options
from ..passwords import Password, check_password
from ..runtime.template import DriverBackend
from ..stats import Target
from .client import Fetch
from .engine import PostgresEngine
from .fields import Declared
from .login import Known, Login
from .takeover import OLD_TABLE, TakeOver
from .url import parse_postgres_url

if TYPE_CHECKING:
    from ..seller.views import View


class PostgresBackend(DriverBackend):
    """A backend on a PostgreSQL database, for any number of event loops.

    Reads of an event-loop tick are one statement, writes one call of a function that the schema brings. The
    first connect creates the tables; see `schema`.

    Args:
        database_url: see `parse_postgres_url`.
        pool_min: connections that each event loop keeps open; 0: they are opened when needed.
        pool_max: connections of each event loop at most.
        timeout: seconds that any call waits for the server.
        create: whether `connect` makes the tables and functions that are missing, and takes an older table over.
        statement_cache: whether statements are prepared on the server and settings made for the session; None: not
            behind a pooler (PgBouncer), which may give each transaction another session.
        password: in place of one in the URL; a function, also an async one, is asked at each new connection.
        settings: see `DriverBackend`.
    """

    _open_state = ("_known",)

    @takes_url_options("postgres")
    def __init__(
        self,
        database_url: str,
        pool_min: int = 2,
        pool_max: int = 10,
        *,
        timeout: float = 5.0,
        create: bool = True,
        statement_cache: bool | None = None,
        password: Password | None = None,
        **settings: Any,
    ) -> None:
        """Check the arguments; the server is asked by `connect`."""
        super().__init__(timeout=timeout, **settings)
        self._dsn = parse_postgres_url(database_url)
        for name, number, least in (("pool_min", pool_min, 0), ("pool_max", pool_max, 1)):
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ConfigurationError(f"{name} is an int of {least} or more, not {shown(number)}")
        check_password(password)
        if pool_min > pool_max:
            raise ConfigurationError(f"pool_min ({pool_min}) is more than pool_max ({pool_max})")
        self.database_url = database_url
        self._pool_min = pool_min
        self._pool_max = pool_max
        self._create = create
        self._statement_cache = statement_cache
        self._password = password

    def _start_over(self) -> None:
        super()._start_over()
        self._known = Known()

    def __repr__(self) -> str:
        """Return the class and the address, without the password."""
        return f"PostgresBackend({redact(self.database_url)!r})"

    @property
    def capabilities(self) -> Capabilities:
        """Everything; how durable an acknowledged write is depends on the server's ``synchronous_commit``."""
        return Capabilities(atomic="store", expiry="store", durable=True, shared=True, atomic_batches=True)

    async def cleanup_expired(self) -> int:
        """Remove all expired entries now, rather than in the background; return how many there were."""
        return await self._sweep_all()

    async def take_over(self, *, apply: bool = True) -> TakeOver:
        """Take what an older agent has written into ``kv_store`` since the take-over, where ours was not changed.

        Args:
            apply: False to compare only.

        Returns:
            Which keys were taken (or would be), and which both have written since: there ours stays.
        """
        with self._guarded(await self._here(), "take over", OLD_TABLE, writes=apply) as session:
            assert isinstance(session.engine, PostgresEngine)  # noqa: S101
            return await session.engine.take_over(apply=apply)

    async def build_indexes(self) -> bool:
        """Make the indexes of filtered listings that are missing, beside the work; False if others are at it.

        Those of ours that nobody declares any more are dropped: `facts` names them as ``unwanted_indexes``.
        """
        with self._guarded(await self._here(), "build", "indexes", writes=True) as session:
            assert isinstance(session.engine, PostgresEngine)  # noqa: S101
            return await session.engine.build_indexes()

    def _as_found(self) -> Self:
        if not self._create:
            return self
        found = copy.copy(self)
        found._create = False
        return found

    def view_statements(self, views: tuple[View, ...] | None = None) -> list[str]:
        """Return the statements that `create_views` runs.

        Raises:
            InvalidArgumentError: a name is not lower case, digits and _.
        """
        from .views import FUNCTIONS, view_statements  # these, too, when somebody asks

        return [*FUNCTIONS, *view_statements(views).values()]

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

    async def _change_views(self, verb: str, work: Callable[[Fetch], Awaitable[list[str]]]) -> list[str]:
        with self._guarded(await self._here(), verb, "views", writes=True) as session:
            assert isinstance(session.engine, PostgresEngine)  # noqa: S101
            return await session.engine.change_views(work)

    def _telemetry_target(self, key: str | None) -> Target:
        return Target.of_url("postgresql", self._dsn, 5432)

    def _make_engine(self) -> Engine:
        return self._engine_of(PostgresEngine)

    def _engine_of(self, kind: type[PostgresEngine]) -> Engine:
        login = Login(
            self._dsn,
            password=self._password,
            timeout=self.timeout,
            statement_cache=self._statement_cache,
            known=self._known,
        )
        return kind(
            login,
            url=self.database_url,
            least=self._pool_min,
            most=self._pool_max,
            timeout=self.timeout,
            create=self._create,
            known=self._known,
            declared=Declared(self._indexes),
        )

    async def _close_shared(self) -> None:
        self._known = Known()  # the next connect looks at what is there
