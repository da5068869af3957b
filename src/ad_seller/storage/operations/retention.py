"""Retention: what is older than a rule says, or beyond its number, is removed; in small commits, by one process.

What a hold is over, and what open deals refer to, is kept, whatever the rules say.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ..atomic.lease import Lease
from ..base import StorageBackend
from ..errors import CorruptValueError, InvalidArgumentError, LeaseHeldError, StorageError
from ..records.globs import escape
from ..records.markers import DELETE, LEAVE
from ..records.pages import OnCorrupt
from ..seller.log_entries import is_id, milliseconds_of
from .batches import LEASE_SECONDS, change_entries
from .fields import moment_of, seconds_at
from .holds import Holds, holds_of, keep_held
from .open_deals import OpenDeals
from .retention_rules import RetentionRule, check_rules

log = logging.getLogger("ad_seller.storage")

LEASE_NAME: Final = "{retention}"  #: in braces: both entries of a lease must lie in one slot of a cluster
PAUSE: Final = 0.02  #: seconds between two commits, in which others write

_PAGE: Final = 500
_BATCH: Final = 100  #: entries of one commit

_TICK: Final = 0.001  #: seconds between two times in ids of a log
_LAST: Final = "\U0010ffff"  #: sorts after all keys

Clock = Callable[[], float]
#: Seconds since 1970, and a key: it tells those of one time apart.
Moment = tuple[float, str]

_NEVER: Final[Moment] = (float("-inf"), "")


@dataclass(slots=True)
class Retained:
    """What came of one rule.

    Attributes:
        rule: its name.
        keys: with what the keys begin.
        seen: entries that were looked at.
        due: those that the rule removes; all of them are counted, also those that were kept in the end.
        removed: those that were removed; 0 for a dry run.
        kept: why some that are due, or may be, were kept: "held", "referred" (by an open deal), "no time",
            "unreadable", "changed" (meanwhile).
        oldest: the key of the oldest that is due, and its time (ISO 8601).
        holds: the names of the holds that kept something.
        problem: why the rule was not applied.
    """

    rule: str
    keys: str
    seen: int = 0
    due: int = 0
    removed: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    oldest: tuple[str, str] | None = None
    holds: set[str] = field(default_factory=set)
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "rule": self.rule,
            "keys": self.keys,
            "seen": self.seen,
            "due": self.due,
            "removed": self.removed,
            "kept": dict(self.kept),
            "oldest": self.oldest,
            "holds": sorted(self.holds),
            "problem": self.problem,
        }


async def apply_retention(
    store: StorageBackend,
    rules: Iterable[RetentionRule],
    *,
    dry_run: bool = True,
    clock: Clock = time.time,
    pause: float = PAUSE,
) -> AsyncIterator[Retained]:
    """Apply rules, one after the other; yield what came of each.

    Each commit removes at most a hundred entries that are still due at that moment, and depends on the lease and on
    the holds. It can be stopped at any point and run again. What a hold is over does not expire either.

    Args:
        store: connected; agents may use it.
        rules: checked before anything is looked at.
        dry_run: count, and remove nothing.
        clock: seconds since 1970.
        pause: seconds between two commits.

    Raises:
        InvalidArgumentError: rules that are incomplete or contradict each other.
        LeaseHeldError: another process is at it.
        CorruptValueError: a deal cannot be read, so what it refers to is not known; `repair` sets it aside.
    """
    checked = check_rules(rules)
    if dry_run:
        deals = await OpenDeals.read(store)
        for rule in checked:
            yield await _Run(store, rule, deals, await holds_of(store), clock(), None, pause).run()
        return
    async with store.lease(LEASE_NAME, LEASE_SECONDS) as lease:
        holds = await holds_of(store)
        await keep_held(store, [pattern for hold in holds.all for pattern in hold.patterns])
        for rule in checked:
            deals = await OpenDeals.read(store)
            yield await _Run(store, rule, deals, await holds_of(store), clock(), lease, pause).run()


async def retain(
    store: StorageBackend, rules: Iterable[RetentionRule], *, every: float = 3_600.0, clock: Clock = time.time
) -> None:
    """Apply rules again and again until the task is cancelled; for a task of the agent, in any number of processes.

    Args:
        store: connected.
        rules: checked at once.
        every: seconds between two rounds.
        clock: seconds since 1970.

    Raises:
        InvalidArgumentError: rules that are incomplete or contradict each other.
    """
    checked = check_rules(rules)
    while True:
        try:
            async for done in apply_retention(store, checked, dry_run=False, clock=clock):
                log.info("Retention, rule %r: %d of %d due entries removed", done.rule, done.removed, done.due)
        except LeaseHeldError:
            log.debug("Retention: another process is at it")
        except StorageError as error:
            log.warning("Retention could not be applied, will be tried again in %g s: %s", every, error)
        await asyncio.sleep(every)


def _pass_over(error: CorruptValueError) -> None:
    """What cannot be read is counted once, when entries are removed."""


class _Run:
    """One rule on its way through the store; without a lease nothing is removed."""

    def __init__(
        self,
        store: StorageBackend,
        rule: RetentionRule,
        deals: OpenDeals,
        holds: Holds,
        now: float,
        lease: Lease | None,
        pause: float,
    ) -> None:
        self._store = store
        self._rule = rule
        self._deals = deals
        self._holds = holds
        self._now = now
        self._lease = lease
        self._pause = pause
        self._trimming = store.log(rule.log, rule.by)._trimming() if rule.log else None
        self._oldest: Moment | None = None
        self.done = Retained(rule.name, rule.keys)

    async def run(self) -> Retained:
        until = await self._until()
        if (problem := self._problem(until)) is None:
            await self._remove(until)
        else:
            self.done.problem = problem
        if self._oldest is not None:
            seconds, key = self._oldest
            self.done.oldest = (key, moment_of(seconds))
        return self.done

    def _problem(self, until: Moment) -> str | None:
        """Return why a log cannot be trimmed up to there."""
        if self._trimming is None or until == _NEVER:
            return None
        try:
            self._trimming.check(until[0])
        except InvalidArgumentError as error:
            return f"{error}: with a minimum_age, or a longer older_than"
        return None

    async def _until(self) -> Moment:
        """Return the moment up to which entries are due."""
        if self._rule.older_than is not None:
            return self._now - self._rule.older_than, _LAST
        kept: list[Moment] = []  # the newest, the oldest of them first
        count = self._rule.keep_newest or 0
        async for key, value in self._entries():
            seconds = self._seconds(key, value)
            if seconds is not None and self._rule.wants(value):
                heapq.heappush(kept, (seconds, key))
                if len(kept) > count + 1:
                    heapq.heappop(kept)
        if len(kept) <= count:
            return _NEVER
        newest, *_ = beyond = heapq.nsmallest(2, kept)  # the newest beyond the number, and the oldest within
        if self._rule.log and len(beyond) == 2 and beyond[1][0] == newest[0]:
            newest = (newest[0] - _TICK, _LAST)  # a log is trimmed up to a time
        return min(newest, (self._now - self._rule.minimum_age, _LAST))

    async def _entries(self, corrupt: OnCorrupt = _pass_over) -> AsyncIterator[tuple[str, Any]]:
        cursor: str | None = None
        while True:
            page = await self._store.scan(
                f"{escape(self._rule.keys)}*", limit=_PAGE, cursor=cursor, on_corrupt=corrupt
            )
            for item in page.items:
                yield item
            cursor = page.cursor
            if cursor is None:
                return

    def _seconds(self, key: str, value: Any) -> float | None:
        if self._rule.prefix:
            return seconds_at(value, self._rule.place)
        entry_id = key.removeprefix(self._rule.keys)
        return milliseconds_of(entry_id) / 1000 if is_id(entry_id) else None

    def _judge(self, until: Moment, key: str, value: Any, holds: Holds) -> tuple[str, Any]:
        """Return why an entry is kept, or that it is removed."""
        seconds = self._seconds(key, value)
        if not self._rule.wants(value):
            return "other", LEAVE
        if seconds is None:
            return "no time", LEAVE
        if (seconds, key) > until:
            return "young", LEAVE
        if (name := holds.over(key)) is not None:
            self.done.holds.add(name)
            return "held", LEAVE
        return ("referred", LEAVE) if self._deals.need(key) else ("removed", DELETE)

    async def _remove(self, until: Moment) -> None:
        due: list[str] = []
        async for key, value in self._entries(lambda error: self._unreadable()):
            self.done.seen += 1
            word, _ = self._judge(until, key, value, self._holds)
            if word in ("held", "referred", "removed"):
                self._is_due(key, value)
            if word in ("held", "referred", "no time"):
                self.done.kept[word] += 1
            elif word == "removed":
                due.append(key)
            if len(due) == _BATCH:
                await self._commit(until, due)
                due = []
        await self._commit(until, due)

    def _unreadable(self) -> None:
        self.done.seen += 1
        self.done.kept["unreadable"] += 1

    def _is_due(self, key: str, value: Any) -> None:
        seconds = self._seconds(key, value) or 0.0
        self.done.due += 1
        if self._oldest is None or seconds < self._oldest[0]:
            self._oldest = (seconds, key)

    def _leading(self, key: str, value: Any) -> list[str]:
        """Return the keys by which an entry of a log is found."""
        return [] if self._trimming is None else self._trimming.marks(key, value)

    async def _commit(self, until: Moment, keys: list[str]) -> None:
        if self._lease is None or not keys:
            return
        if self._trimming is not None:
            await self._trimming.tell(until[0])
        said = await change_entries(self._store, self._lease, keys, partial(self._judge, until), self._leading)
        self.done.removed += said.pop("removed", 0)
        self.done.kept["changed"] += sum(said.pop(word, 0) for word in ("changed", "young", "other"))
        self.done.kept += said
        await asyncio.sleep(self._pause)
