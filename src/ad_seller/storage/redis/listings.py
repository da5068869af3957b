"""Listings: from the index where there is one that can be trusted, else by walking over all keys of all servers."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from ..concurrency.timeslice import TimeSlice
from ..driver.failures import LostError, NotSentError
from ..driver.query import KeyQuery
from .index import (
    ENTRIES,
    FIRST_NAME,
    LIST,
    MOMENT_BYTES,
    PART_BYTES,
    SWEEP,
    Mode,
    Part,
    first_part,
    index_name,
    keys_of,
)
from .listener import end_silent_listeners
from .pool import NodePool
from .router import RedisRouter
from .scripts import Argument, Call, Script
from .tracker import IndexTracker
from .walks import Walks

log = logging.getLogger("ad_seller.storage")

T = TypeVar("T")

#: Entries that a search looks at, for each record that it wants, before it reads as much as belongs to one moment.
_FEW = 20
_LEAST_FEW = 1_000
_FEW_BYTES = 2_000_000

_NONE = b""  #: the generation of who looks at all keys within the script itself

_LOOK_EVERY = 10.0  #: seconds between two looks for silent listeners


class _NoIndexError(Exception):
    """There is no index that can be trusted."""


async def taken(entries: Iterable[tuple[str, bytes]], span: KeyQuery) -> list[tuple[str, bytes]]:
    """Return the entries that count for the limit of ``span``, without holding up other tasks."""
    if not span.counts_records:
        return list(entries)
    pace = TimeSlice()
    found: list[tuple[str, bytes]] = []
    for entry in entries:
        found += [entry] if span.takes(*entry) else []
        if pace.is_due:
            await pace.checkpoint()
    return found


class Listings:
    """Answers listings for one instance, in one event loop.

    Args:
        router: leads to the servers.
        prefix: what stands before each key in Redis.
        timeout: seconds that each of many answers may take.
        indexed: whether there is an index: only where all entries are in one place.
    """

    def __init__(self, router: RedisRouter, prefix: str, timeout: float, *, indexed: bool) -> None:
        """Nothing is asked yet."""
        self._router = router
        self._prefix = prefix
        self._timeout = timeout
        self._indexed = indexed
        self._tracker: IndexTracker | None = None
        self._swept = FIRST_NAME
        self._looked_at = -math.inf  # when silent listeners were looked for
        self._walks = Walks(router, prefix, timeout)

    @property
    def index_trusted(self) -> bool | None:
        """See `Engine.index_trusted`."""
        tracker = self._tracker
        return None if tracker is None else tracker.is_trusted

    async def close(self) -> None:
        """End what goes on in the background."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            await tracker.close()

    def hears(self, prefix: str) -> bool:
        """Tell whether the server tells of what is stored under ``prefix``: once that was listed from the index."""
        return self._tracker is not None and self._tracker.hears(self._prefix + prefix)

    async def keys(self, span: KeyQuery, *, living: bool = True, below: str = "") -> list[str]:
        """Return the keys of ``span``, sorted.

        Args:
            span: what is asked for.
            living: whether those that live no more must be left out; False saves looking, where the texts are read.
            below: with what all of them begin, and what they are returned without; where no pattern looks at them.
        """

        async def collect(pool: NodePool, deadline: float) -> list[str]:
            found: list[str] = []
            async for names in self._parts(pool, span, "living" if living else "names", deadline):
                keys = keys_of(names, self._prefix + below)
                found += keys if span.exact else filter(span.has, keys)
                if span.limit is not None and len(found) >= span.limit:
                    break
            return found[: span.limit]

        found = await self._from_index(collect)
        if found is None:
            return [key[len(below) :] for key in await self._walks.keys(span)]
        return found

    async def count(self, span: KeyQuery) -> int:
        """Return how many living keys ``span`` has."""

        async def collect(pool: NodePool, deadline: float) -> int:
            count = 0
            async for number in self._parts(pool, span, "count", deadline):
                count += number
            return count

        found = await self._from_index(collect) if span.exact and span.limit is None else None
        return len(await self.keys(span)) if found is None else found

    async def entries(self, span: KeyQuery) -> list[tuple[str, bytes]] | None:
        """Return the entries of ``span``, whose glob is a prefix, sorted; None where there is no index to ask."""

        async def collect(pool: NodePool, deadline: float) -> list[tuple[str, bytes]]:
            found: list[tuple[str, bytes]] = []
            asked = span
            if span.counts_records:
                asked = span.up_to(None)
                page, deadline = await self._soon_found(pool, span, deadline)
                if page is not None:
                    return page
            async for names, texts in self._entry_parts(pool, asked, deadline):
                entries = zip(keys_of(names, self._prefix), texts, strict=True)
                found += await taken(entries, span)
                if span.counts_records and len(found) >= (span.limit or 0):
                    break
            return found[: span.limit]

        return await self._from_index(collect)

    async def _soon_found(
        self, pool: NodePool, span: KeyQuery, deadline: float
    ) -> tuple[list[tuple[str, bytes]] | None, float]:
        """Return the records that a search is for, if the first entries have enough; and the deadline."""
        few = max(_FEW * (span.limit or 0), _LEAST_FEW)
        part = first_part(self._prefix, KeyQuery(span.glob, span.after, few, reverse=span.reverse), "names")
        tracker = self._tracker_here(pool) or await self._tracker_of(pool)
        generation, deadline = await self._assured(tracker, part, deadline)
        last, names, texts = await self._entry_part(tracker, generation, part, _FEW_BYTES, deadline)
        found = await taken(zip(keys_of(names, self._prefix), texts, strict=True), span)
        return (found[: span.limit] if not last or len(found) >= (span.limit or 0) else None), deadline

    async def _assured(self, tracker: IndexTracker, part: Part, deadline: float) -> tuple[bytes | None, float]:
        """Return the generation that vouches for the part, and the deadline, later by what surveys took."""
        return (_NONE, deadline) if tracker.does_without() else await self._told(tracker, part, deadline)

    async def _told(self, tracker: IndexTracker, part: Part, deadline: float) -> tuple[bytes | None, float]:
        """Likewise, of an index for which the server tells of changes."""
        began, spent = asyncio.get_running_loop().time(), tracker.spent
        generation = await tracker.assure(part.start, deadline)
        waited = asyncio.get_running_loop().time() - began
        return generation, deadline + min(waited, tracker.spent - spent)

    async def _entry_parts(
        self, pool: NodePool, span: KeyQuery, deadline: float
    ) -> AsyncIterator[tuple[bytes, list[bytes]]]:
        """Yield names and texts, part after part; the first one is as of one moment."""
        part, size, missing = first_part(self._prefix, span, "names"), MOMENT_BYTES, span.limit
        tracker = self._tracker_here(pool) or await self._tracker_of(pool)
        generation, deadline = await self._assured(tracker, part, deadline)
        while True:
            last, names, texts = await self._entry_part(tracker, generation, part, size, deadline)
            yield names, texts
            if missing is not None:
                missing -= len(texts)
            if not last or missing == 0:
                return
            part, size = part.after(last), PART_BYTES
            if missing is not None:
                part = part._replace(most=min(part.most, missing))
            deadline = asyncio.get_running_loop().time() + self._timeout

    async def _entry_part(
        self, tracker: IndexTracker, generation: bytes | None, part: Part, size: int, deadline: float
    ) -> list[Any]:
        found = await self._asked(ENTRIES, generation, part, str(size), deadline)
        if found is None and generation == _NONE:
            generation, deadline = await self._told(tracker, part, deadline)
            found = await self._asked(ENTRIES, generation, part, str(size), deadline)
        if found is None:
            raise _NoIndexError
        return found

    async def _asked(
        self, script: Script, generation: bytes | None, part: Part, last: Argument, deadline: float
    ) -> list[Any] | None:
        """Return what the index tells; None if the generation does not vouch for it, or no look at all keys can."""
        if generation is None:
            return None
        alone = generation == _NONE
        survey = part.survey(self._prefix) if alone else ()
        way = "1" if part.reverse else "0"
        arguments = (generation, part.lower, part.upper, way, str(part.most), last, *survey)
        call: Call = ([index_name(self._prefix)], arguments)
        [answer] = await self._router.run(script, [call], writes=False, deadline=deadline)
        if isinstance(answer, Exception):
            if alone and isinstance(answer, ResponseError):
                return None
            raise answer
        found: list[Any] | None = answer
        return found

    @property
    def all_swept(self) -> bool:
        """Whether `sweep` begins at the first name."""
        return self._swept == FIRST_NAME

    async def sweep(self, names: int) -> int:
        """Look at the next names of the index, and take those out that live no more; return how many."""
        if not self._indexed:
            return 0
        await self.end_silent_listeners(_LOOK_EVERY)
        call = ([index_name(self._prefix)], (self._swept, str(names)))
        [answer] = await self._router.run(SWEEP, [call], writes=True)
        if isinstance(answer, Exception):
            raise answer
        last, gone = answer
        self._swept = b"(" + last if last else FIRST_NAME
        return int(gone)

    async def end_silent_listeners(self, pause: float) -> None:
        """End listeners that read nothing, unless that was looked after within the last ``pause`` seconds."""
        now = asyncio.get_running_loop().time()
        if self._indexed and now - self._looked_at >= pause:
            self._looked_at = now
            with suppress(NotSentError, LostError):  # there will be another look
                for pool in self._router.masters():
                    if ended := await end_silent_listeners(pool, now + self._timeout):
                        log.warning("Ended %d connections that read nothing: the server kept too much", ended)

    # --- by the index ----------------------------------------------------------------------------------

    async def _from_index(self, collect: Callable[[NodePool, float], Awaitable[T]]) -> T | None:
        if not self._indexed:
            return None
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            found = await self._router.with_owner(index_name(self._prefix), lambda pool: collect(pool, deadline))
        except _NoIndexError:
            return None
        return found[0] if found else None

    async def _parts(self, pool: NodePool, span: KeyQuery, mode: Mode, deadline: float) -> AsyncIterator[Any]:
        """Yield what the index tells, part after part."""
        tracker = self._tracker_here(pool) or await self._tracker_of(pool)
        part = first_part(self._prefix, span, mode)
        first, alone = True, tracker.does_without()
        while True:
            answer = await self._asked(LIST, _NONE, part, mode, deadline) if alone else None
            if answer is None and (answer := await tracker.ask(part, deadline, first=first)) is None:
                raise _NoIndexError
            last, found = answer
            yield found
            if not last:
                return
            part, first = part.after(last), False
            deadline = asyncio.get_running_loop().time() + self._timeout
            await asyncio.sleep(0)

    def _tracker_here(self, pool: NodePool) -> IndexTracker | None:
        """Return the tracker over the server, if there is one."""
        tracker = self._tracker
        return tracker if tracker is not None and tracker.pool is pool else None

    async def _tracker_of(self, pool: NodePool) -> IndexTracker:
        """Return a new tracker over the server, in place of one over where entries are no more."""
        while (tracker := self._tracker_here(pool)) is None:
            await self.close()
            if self._tracker is None:  # nobody was faster
                self._tracker = IndexTracker(pool, self._prefix, self._timeout)
        return tracker
