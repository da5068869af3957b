"""Which indexes of fields a database has, and building those that it lacks, beside the work.

New databases have them from the start (`schema`). Where tables are older, an index was lost, or others are declared
than before, the first search has them built in the background, in a way that stops no writer, by one instance at a
time (those that nobody declares any more are dropped likewise, after the first connect);
until they are there, searches look at all records of a kind. A build that was cut off leaves an index that is not
valid, and somebody may have given a name of ours to an index of something else: such are removed and built anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import Any, Final

import asyncpg

from ..concurrency.tasks import later
from ..driver.query import KeyQuery, say_how
from .client import PostgresClient
from .fields import (
    CREATE_FIELD_FUNCTION,
    EXPIRY,
    FIELD_SIGNATURE,
    INDEXES_THERE,
    OF_CONSTRAINTS,
    Declared,
    Search,
    narrowness,
)
from .login import Known
from .statements import TABLE

log = logging.getLogger("ad_seller.storage")

_LOCK: Final = 0x6164_5F69_6478  #: any number that nobody else uses: "ad_idx"
_LOOK_PAUSE = 30.0  #: seconds between two looks while an index is missing
BUILD_SECONDS: Final = 24 * 3600.0  #: for one index; it waits for every transaction that is older
_COUNTED = 1000  #: records of each field that are counted to choose among several

_TRIES: Final = 5  #: looks at indexes while others drop some
_LOOK: Final = f"SELECT {INDEXES_THERE} AS indexes"
_HAS_FUNCTION: Final = f"SELECT to_regprocedure('{FIELD_SIGNATURE}') IS NOT NULL"

#: The user may not do it here, nor later.
_REFUSALS = (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)

Fetch = Callable[..., Awaitable[list[Any]]]


class FieldIndexes:
    """The indexes that filtered listings can use.

    Args:
        client: of the server.
        known: shared by all event loops.
        declared: what there is to be.
        may_build: tells whether what is missing can be built from here.
    """

    def __init__(
        self, client: PostgresClient, known: Known, declared: Declared, *, may_build: Callable[[], bool]
    ) -> None:
        """Nothing is asked yet."""
        self._client = client
        self._declared = declared
        self.known = known
        self._may_build = may_build
        self._building: asyncio.Task[None] | None = None

    async def narrowest(self, span: KeyQuery) -> Search | None:
        """Return the search that finds the fewest records; None if all of the span have to be looked at."""
        search = await self._narrowest(span)
        say_how(span, search.index.name if search else None)
        return search

    async def _narrowest(self, span: KeyQuery) -> Search | None:
        found = self._declared.searches(span)
        if not found:
            return None
        await self._look()
        usable = [search for search in found if search.index.name in self.known.valid]
        if len(usable) < 2:
            return usable[0] if usable else None
        statement, parameters = narrowness(usable, span, _COUNTED)
        [counts] = await self._client.read(statement, *parameters, cancellable=True)
        return min(zip(counts, usable, strict=True), key=itemgetter(0))[1]

    def start(self, there: dict[str, str]) -> None:
        """Learn at the first connect which indexes there are, and begin to drop those that nobody declares.

        No search misses the one that the sweep reads by, so that is built at once, too.

        Args:
            there: their names, and what the server defines each as.
        """
        self.known.valid = self._declared.usable(there)
        if EXPIRY.name not in self.known.valid or any(map(self._declared.is_unwanted, there)):
            self._begin()

    async def _look(self) -> None:
        """Learn which indexes there are, if one that is declared is not known; seldom, while it is missing."""
        if not self._missing or time.monotonic() < self.known.next_look:
            return
        self.known.next_look = time.monotonic() + _LOOK_PAUSE
        [(rows,)] = await described(partial(self._client.read, cancellable=True), _LOOK)
        self.known.valid = self._declared.usable(dict(rows))
        if self._missing:
            self._begin()

    @property
    def _missing(self) -> frozenset[str]:
        return self._declared.names - self.known.valid - self.known.taken

    def _begin(self) -> None:
        if self._building is not None:
            return
        if self._may_build() and not self.known.has_given_up:
            self._building = later(self._build())
        else:
            self._give_up("that needs pool_max=2 and no pooler")

    def _give_up(self, reason: object) -> None:
        if not self.known.has_given_up:
            self.known.has_given_up = True
            log.warning(
                "PostgreSQL: indexes are not as they are declared, and cannot be made or dropped from here (%s); "
                "searches without one look at all records of a kind. Let the owner of %s connect and search once.",
                reason,
                TABLE,
            )

    async def _build(self) -> None:
        wanted = self._missing
        try:
            async with self._client.borrowed(BUILD_SECONDS) as fetch:
                was_ours = await build(fetch, self._declared)
                usable = self._declared.usable(await look(fetch))
        except _REFUSALS as error:
            self._give_up(error)
        except Exception as error:
            log.warning("PostgreSQL: indexes could not be made, will be tried again: %s", error)
        else:
            if was_ours:
                self.known.next_look = 0.0
                self._tell_of_taken(wanted - usable)
        finally:
            self._building = None

    def _tell_of_taken(self, names: frozenset[str]) -> None:
        self.known.taken |= names
        for name in sorted(names):
            log.warning(
                "PostgreSQL: the index %s cannot be made: the name is taken by something else, which is not ours. "
                "Until that is renamed and this process connects anew, what would use it reads more: searches by "
                "the field all records of their kind, the removal of expired entries the whole table.",
                name,
            )

    async def stop(self) -> None:
        """Stop building; the server finishes the index that it is at."""
        if self._building is not None:
            self._building.cancel()
            await asyncio.wait([self._building])


async def build(fetch: Fetch, declared: Declared) -> bool:
    """Make what is missing, and drop what nobody declares; False if another instance is at it.

    Args:
        fetch: runs statements on a session of their own, which is closed afterwards.
        declared: what there is to be.
    """
    await fetch("SET statement_timeout = 0")
    await fetch("SET lock_timeout = 0")
    [(ours,)] = await fetch("SELECT pg_try_advisory_lock($1)", _LOCK)
    if not ours:
        return False
    [(has_function,)] = await fetch(_HAS_FUNCTION)
    if not has_function:
        await fetch(CREATE_FIELD_FUNCTION)
    there = await look(fetch)
    usable = declared.usable(there)
    kept = await kept_by_constraints(fetch)
    await _drop(fetch, unwanted(declared, there, kept))
    for index in declared.indexes:
        if index.name in usable or index.name in kept:
            continue
        if index.name in there:
            was = there[index.name] or "a build that was cut off"
            log.info("PostgreSQL: dropping the index %s, which is not what it is to be (%s)", index.name, was)
            await fetch(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
        log.info("PostgreSQL: building the index %s in the background", index.name)
        await fetch(index.create("CONCURRENTLY"))
    return True


async def look(fetch: Fetch) -> dict[str, str]:
    """Return the names of our table's indexes, and what the server defines each as; "": it cannot be used."""
    [(rows,)] = await described(fetch, _LOOK)
    return dict(rows)


async def described(fetch: Fetch, statement: str) -> list[Any]:
    """Return what a statement with `INDEXES_THERE` finds; not within a transaction.

    The server refuses all of it if an index is dropped just then, by another instance or a DBA.
    """
    for _ in range(_TRIES - 1):
        with suppress(asyncpg.InternalServerError):
            return await fetch(statement)
    return await fetch(statement)


async def kept_by_constraints(fetch: Fetch) -> set[str]:
    """Return the names of our table's indexes that belong to a constraint: the server drops them only with that."""
    return {name for (name,) in await fetch(OF_CONSTRAINTS)}


def unwanted(declared: Declared, there: Iterable[str], kept: Collection[str]) -> list[str]:
    """Return the names of the indexes that nobody declares any more, and that can be dropped."""
    return sorted(name for name in there if declared.is_unwanted(name) and name not in kept)


async def _drop(fetch: Fetch, names: list[str]) -> None:
    for name in names:
        await fetch(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    if names:
        log.info(
            "PostgreSQL: dropped indexes that nobody declares, so that writes do not pay for them: %s. Who needs "
            "one declares it: indexes=[Index(kind, field)], or STORAGE_INDEXES.",
            ", ".join(names),
        )
