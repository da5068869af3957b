"""Whole stores, page by page, on Redis."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from ..driver.failures import LostError
from ..driver.query import KeyQuery
from ..driver.transfer import PAGE_BYTES, PAGE_ENTRIES, StoredEntry, stored_entries
from ..records.globs import prefix_glob
from .batches import Split
from .commands import RoutedCommand
from .connection import Command
from .listings import Listings
from .router import RedisRouter
from .scripts import SCRIPT_BYTES, SCRIPT_PARTS, Argument, Call
from .settings import RedisSettings
from .transfer_scripts import CARRY, STORE

_CARRIED: Final = 200  #: keys of one call: more hold the server up, and each costs more
_UNSEEN: Final = -3  #: stands for the deadline of a key that was not looked at
_WALKED: Final = 50_000  #: names that are kept of a walk over all keys, where there is no index


class Transfers:
    """Reads and stores entries in bulk.

    Args:
        settings: see `RedisSettings`.
        router: leads to the servers.
        listings: tells the names.
        split: groups positions of names by what one command can carry.
    """

    def __init__(
        self,
        settings: RedisSettings,
        router: RedisRouter,
        listings: Listings,
        split: Split,
    ) -> None:
        """Nothing is read yet."""
        self._prefix = settings.prefix
        self._index = settings.index
        self._router = router
        self._listings = listings
        self._split = split
        self._walked: tuple[str, list[str]] = ("", [])
        self._may_transact: bool | None = None  # whether the user may; None: not asked yet

    # --- reading ---------------------------------------------------------------------------------------

    async def page(self, prefix: str, after: str | None) -> list[StoredEntry]:
        """See `Engine.page`."""
        while keys := await self._names(prefix, after):
            found, looked = await self._carried(keys)
            if found:
                return found
            after = keys[looked - 1]  # all of them were gone
        return []

    async def entries_at(self, keys: Sequence[str]) -> list[StoredEntry]:
        """See `Engine.entries_at`."""
        found: list[StoredEntry] = []
        while keys:
            some, looked = await self._carried(keys)
            found, keys = found + some, keys[looked:]
        return found

    async def _names(self, prefix: str, after: str | None) -> list[str]:
        """Return the next names; of a walk over all keys, which costs as much each time, some are kept."""
        if self._index is not None:
            query = KeyQuery(prefix_glob(prefix), after, PAGE_ENTRIES)
            return await self._listings.keys(query, living=False)
        walked, names = self._walked
        if walked != prefix or after is None or not names or not names[0] <= after < names[-1]:
            names = await self._listings.keys(KeyQuery(prefix_glob(prefix), after, _WALKED), living=False)
            self._walked = prefix, names
        first = 0 if after is None else bisect_right(names, after)
        return names[first : first + PAGE_ENTRIES]

    async def _carried(self, keys: Sequence[str]) -> tuple[list[StoredEntry], int]:
        """Return the entries under the first of the keys, and how many keys were looked at.

        A few come first: they tell how many of the others fit into a page.
        """
        found: list[StoredEntry] = []
        looked, left, count = 0, PAGE_BYTES, _CARRIED
        while looked < len(keys) and left > 0:
            some = keys[looked : looked + count]
            texts, deadlines = await self._told(some, left)
            rows = zip(some, texts, deadlines, strict=False)
            there = [(key, text, None if at < 0 else at) for key, text, at in rows if text is not None]
            found += stored_entries(there)
            left -= sum(len(text) for _, text, _ in there)
            looked += len(texts)
            count = max(1, left * looked // max(1, PAGE_BYTES - left))
        return found, looked

    async def _told(self, keys: Sequence[str], limit: int) -> tuple[list[bytes | None], list[int]]:
        """Return texts and deadlines of the first keys, together about so many bytes, or twice as many.

        Each call looks at one key at least, and on a cluster there is a call for each slot.
        """
        names = [self._prefix + key for key in keys]
        groups = [group[i : i + _CARRIED] for group in self._split(names) for i in range(0, len(group), _CARRIED)]
        # Twice its share, so that some larger texts do not end a call whose followers were then asked in vain.
        limits = [min(limit, 2 * limit * len(group) // len(keys) + 1) for group in groups]
        calls: list[Call] = [
            ([names[i] for i in group], (str(most),)) for group, most in zip(groups, limits, strict=True)
        ]
        texts: list[bytes | None] = [None] * len(keys)
        deadlines = [_UNSEEN] * len(keys)
        for group, answer in zip(groups, await self._router.run(CARRY, calls, writes=False), strict=True):
            if isinstance(answer, Exception):
                raise answer
            # They end where there were bytes enough.
            for i, text, deadline in zip(group, answer[::2], answer[1::2], strict=False):
                texts[i], deadlines[i] = text, deadline
        looked = deadlines.index(_UNSEEN) if _UNSEEN in deadlines else len(keys)
        return texts[:looked], deadlines[:looked]

    # --- storing ---------------------------------------------------------------------------------------

    async def store(
        self, entries: Sequence[StoredEntry], expected: Sequence[bytes | None] | None
    ) -> Sequence[bool]:
        """See `Engine.store`; what one script stores is stored at one moment."""
        names = [self._prefix + entry.key for entry in entries]
        texts = [entry.text for entry in entries]
        stored = [False] * len(entries)
        chunks = [chunk for group in self._split(names) for chunk in _chunks(texts, group)]
        if expected is not None and not any(text is not None for text in expected) and await self._transacts():
            chunks = await self._store_new(chunks, names, entries, stored)
        calls = [self._call(chunk, names, entries, expected) for chunk in chunks]
        for chunk, answer in zip(chunks, await self._router.run(STORE, calls, writes=True), strict=True):
            if isinstance(answer := self._router.map_error(answer), Exception):
                raise answer
            for i, item in zip(chunk, answer, strict=True):
                if isinstance(item, Exception):  # where a slot is on its way, each entry has its own outcome
                    raise item
                stored[i] = item == 1
        return stored

    async def _transacts(self) -> bool:
        """Tell whether what is new can be stored by transactions: with an index, and if the user has the right."""
        if self._index is None or not self._router.transacts:
            return False
        if self._may_transact is None:
            # Where MULTI is refused, what follows it is done all the same, so this is asked before.
            task = RoutedCommand(self._index, ("EXEC",), opening=(("MULTI",),))
            [answer] = await self._router.send([task], writes=False)
            if isinstance(answer, list | ResponseError):
                self._may_transact = answer == []
        return self._may_transact is True

    async def _store_new(
        self, chunks: list[list[int]], names: list[str], entries: Sequence[StoredEntry], stored: list[bool]
    ) -> list[list[int]]:
        """Store what is not there yet, each chunk by a transaction, and note that; return what is left to a script.

        A script costs the server twice as much: it makes a string of Lua of each text. All that has no deadline is
        stored, or nothing of it: then some was there.
        """
        transactions = [_Transaction(chunk, entries) for chunk in chunks]
        tasks = [each.command(self._index or "", names, entries) for each in transactions]
        left: list[list[int]] = []
        for each, answer in zip(transactions, await self._router.send(tasks, writes=True), strict=True):
            if not isinstance(answer, Exception):
                left += each.left(answer, stored)
            elif not isinstance(answer, ResponseError):
                raise answer
            elif "without MULTI" in str(answer):  # the right was taken away, or not given on a new master
                self._may_transact = False
                raise LostError("what was stored was not told: the user has no right to MULTI any more")
            else:
                left.append(each.chunk)
        return left

    def _call(
        self,
        chunk: list[int],
        names: list[str],
        entries: Sequence[StoredEntry],
        expected: Sequence[bytes | None] | None,
    ) -> Call:
        indexed = self._index is not None
        keys = [names[i] for i in chunk]
        arguments: list[Argument] = ["1" if indexed else "0", "0" if expected is None else "1"]
        for i in chunk:
            _, text, deadline = entries[i]
            arguments += (text, str(deadline or 0))
        if expected is not None and any(expected[i] is not None for i in chunk):
            for i in chunk:
                arguments += ("0", b"") if (held := expected[i]) is None else ("1", held)
        return ([*keys, self._index] if self._index is not None else keys), arguments


class _Transaction:
    """Entries of which each is stored by a command, if there is none; what has no deadline by one for all."""

    def __init__(self, chunk: list[int], entries: Sequence[StoredEntry]) -> None:
        self.chunk = chunk
        self._lasting = [i for i in chunk if entries[i].deadline is None]
        self._passing = [i for i in chunk if entries[i].deadline is not None]

    def command(self, index: str, names: Sequence[str], entries: Sequence[StoredEntry]) -> RoutedCommand:
        lasting, passing = self._lasting, self._passing
        members = [part for i in (*lasting, *passing) for part in ("0", names[i])]
        opening: list[Command] = [("MULTI",), ("ZADD", index, *members)]
        opening += [
            ("SET", names[i], entries[i].text, "PXAT", str(entries[i].deadline or 0), "NX") for i in passing
        ]
        if lasting:
            opening.append(("MSETNX", *(part for i in lasting for part in (names[i], entries[i].text))))
        return RoutedCommand(names[(lasting or passing)[0]], ("EXEC",), opening=opening)

    def left(self, answers: Sequence[Any], stored: list[bool]) -> list[list[int]]:
        """Note what was stored, and return what is left to be stored in another way.

        Args:
            answers: to the commands.
            stored: of each entry, whether it was.
        """
        each = dict(zip(self._passing, answers[1:], strict=False))
        left = [i for i, answer in each.items() if answer != b"OK"]  # the script looks what is there
        for i, answer in each.items():
            stored[i] = answer == b"OK"
        if self._lasting and answers[-1] != 1:
            left += self._lasting
        else:
            for i in self._lasting:
                stored[i] = True
        return [left] if left else []


def _chunks(texts: Sequence[bytes], positions: list[int]) -> Iterator[list[int]]:
    """Split into parts that do not keep the server from other work for long."""
    many = len(positions)
    if many == 1 or (many <= SCRIPT_PARTS and sum(len(texts[i]) for i in positions) <= SCRIPT_BYTES):
        yield positions
        return
    for half in (positions[: many // 2], positions[many // 2 :]):
        yield from _chunks(texts, half)
