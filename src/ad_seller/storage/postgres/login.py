"""How sessions are begun: with which options and settings, and what has been learnt about the server."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import Struct

from ..passwords import Password, asked
from . import statements as sql
from .url import dsn_of_each_host


class Known(Struct):
    """What the event loops of one backend have learnt: a new loop need not ask again, nor try again at once.

    Attributes:
        is_set_up: whether the tables are there.
        is_pooled: whether a pooler stands before the server.
        is_direct: whether none does, as the last session has shown and none that ended since makes doubtful.
        valid: names of indexes of fields that can be used.
        taken: names of indexes of fields under which something else stands.
        next_look: when to look again for those that are missing, by the monotonic clock.
        has_given_up: whether they cannot be built from here.
        host: the place of the host that took the last session.
    """

    is_set_up: bool = False
    is_pooled: bool = False
    is_direct: bool = False
    valid: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()
    next_look: float = 0.0
    has_given_up: bool = False
    host: int = 0


class Login:
    """What a session is begun with.

    Args:
        dsn: the URL as asyncpg reads it.
        password: in place of one in the URL; a function is asked for each session.
        timeout: seconds that a call may take.
        statement_cache: whether statements are prepared on the server and settings made for the session; None:
            unless a pooler is met, which may give each transaction another session.
        known: is told of a pooler.
    """

    def __init__(
        self, dsn: str, *, password: Password | None, timeout: float, statement_cache: bool | None, known: Known
    ) -> None:
        """Keep it."""
        self._dsn = dsn
        self._dsns = dsn_of_each_host(dsn)
        self._password = password
        self._timeout = timeout
        self._statement_cache = statement_cache
        self._known = known

    @property
    def has_sessions(self) -> bool:
        """Whether what is done in a session stays there for the next statement."""
        return not self._known.is_pooled if self._statement_cache is None else self._statement_cache

    @property
    def dsns(self) -> list[str]:
        """A URL for each host, beginning with the one that took the last session."""
        first = self._known.host  # another event loop may change it
        return [*self._dsns[first:], *self._dsns[:first]]

    def meet_host(self, dsn: str) -> None:
        """Take note of the host that took a session."""
        self._known.host = self._dsns.index(dsn)

    @property
    def options(self) -> dict[str, Any]:
        """What `asyncpg.connect` is called with, beside the URL. Poolers know no settings but the name."""
        settings = {} if "application_name=" in self._dsn else {"application_name": sql.APPLICATION}
        settings |= sql.session_settings(self._timeout) if self.makes_settings_at_start else {}
        cache = {"max_cached_statement_lifetime": 0} if self.has_sessions else {"statement_cache_size": 0}
        password = {} if self._password is None else {"password": partial(asked, self._password)}
        return {"server_settings": settings, **cache, **password}

    @property
    def makes_settings_at_start(self) -> bool:
        """Whether `options` bring our settings, which saves a round trip."""
        return self._known.is_direct and self.has_sessions

    def meet_server(self) -> None:
        """Take note that a session was begun without a pooler: the next need not find that out."""
        self._known.is_direct = True

    def doubt(self) -> None:
        """Take note that a session has ended, or was refused: another server may answer by now, or a pooler."""
        self._known.is_direct = False

    def settings_for(self, process: int) -> str:
        """Return a statement that makes our settings, in the session of that server process only.

        Where another one answers than greeted, there is a pooler: what is set there may be met by others.
        """
        values = ", ".join(
            f"set_config('{name}', '{value}', false)" for name, value in sql.session_settings(self._timeout).items()
        )
        return f"SELECT {values} WHERE pg_backend_pid() = {process}"

    def meet_pooler(self) -> None:
        """Take note of a pooler: unless that is set, sessions are begun in another way from now on."""
        self._known.is_pooled = self._statement_cache is None
