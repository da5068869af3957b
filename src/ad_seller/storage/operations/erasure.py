"""Erasure: what the store has of one buyer is deleted, redacted or kept with a reason; with a report that stays."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ..atomic.lease import Lease
from ..base import StorageBackend
from ..errors import CorruptValueError, InvalidArgumentError, shown
from ..records.codec import encode
from ..records.globs import escape
from ..records.ids import new_id
from ..records.markers import DELETE, LEAVE
from .batches import LEASE_SECONDS, change_entries
from .erasure_map import DEFAULT_MAP, ErasureRule, check_map, check_patterns
from .fields import first_refused, moment_of, place_of, replaced_at
from .holds import Holds, holds_of
from .open_deals import OpenDeals
from .retention import LEASE_NAME, PAUSE

#: What stands in place of a field that was redacted.
ERASED: Final = "[erased]"

#: The prefix of the reports in the store.
ERASURE_PREFIX: Final = "erasure:"

_PAGE: Final = 500
_BATCH: Final = 100
_NAMED: Final = 1_000  #: keys of each kind that a report names


@dataclass(slots=True)
class Erasure:
    """What was done about one buyer; it names the keys that are still there, and no others.

    Attributes:
        id: under which the report is stored.
        buyer: the SHA-256 of each id of the buyer: who knows the id can prove it, nobody can read it.
        started: ISO 8601.
        ended: ISO 8601; None: it did not come to its end. Run it again: what is done is not done twice.
        dry_run: nothing was changed; the counts are what would be.
        counts: by prefix: entries "deleted", "redacted", "kept"; "held", "referred" (by an open deal), "unreadable"
            and "changed" (meanwhile) are still there as they were.
        reasons: by prefix: why entries were kept or redacted.
        remaining: keys that are still there, the first thousand, by why.
        holds: the names of the holds that kept something.
    """

    id: str
    buyer: list[str]
    started: str
    ended: str | None = None
    dry_run: bool = True
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    remaining: dict[str, list[str]] = field(default_factory=dict)
    holds: set[str] = field(default_factory=set)

    @property
    def is_complete(self) -> bool:
        """Whether nothing of what the map erases is left: no hold, no open deal, nothing unreadable or changed."""
        left = ("held", "referred", "unreadable", "changed")
        return self.ended is not None and not any(counts[word] for counts in self.counts.values() for word in left)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "id": self.id,
            "buyer": self.buyer,
            "started": self.started,
            "ended": self.ended,
            "dry_run": self.dry_run,
            "complete": self.is_complete,
            "counts": {prefix: dict(counts) for prefix, counts in self.counts.items() if counts.total()},
            "reasons": self.reasons,
            "remaining": self.remaining,
            "holds": sorted(self.holds),
        }


async def erase(
    store: StorageBackend,
    buyer: str | Iterable[str],
    *,
    rules: Iterable[ErasureRule] = DEFAULT_MAP,
    dry_run: bool = True,
    clock: Callable[[], float] = time.time,
    pause: float = PAUSE,
) -> Erasure:
    """Do with the entries of one buyer what the map says, in small commits under a lease.

    The report is stored under ``erasure:{id}`` when it begins and when it ends, without the buyer's ids; it can be
    run again after an interruption. Backups, exports and logs of others are not reached: delete those, too.

    Args:
        store: connected; agents may use it.
        buyer: an id, or all ids under which the buyer is known (seat, agency, advertiser, agent).
        rules: the map; checked before anything is looked at.
        dry_run: count, and change nothing; no report is stored.
        clock: seconds since 1970.
        pause: seconds between two commits.

    Raises:
        InvalidArgumentError: an id that is no non-empty str; a map whose rules contradict each other.
        LeaseHeldError: another process is at it.
        CorruptValueError: a deal cannot be read, so what it refers to is not known; `repair` sets it aside.
    """
    ids = _ids(buyer)
    checked = check_map(rules)
    check_patterns(checked, ids)
    digests = sorted(hashlib.sha256(one.encode()).hexdigest() for one in ids)
    report = Erasure(new_id(), digests, moment_of(clock()), dry_run=dry_run)
    report.reasons = {rule.prefix: rule.reason for rule in checked if rule.reason}
    if dry_run:
        await _Eraser(store, report, ids, await holds_of(store), await OpenDeals.read(store), None, pause).run(
            checked
        )
        report.ended = moment_of(clock())
        return report
    async with store.lease(LEASE_NAME, LEASE_SECONDS) as lease:
        await store.set(ERASURE_PREFIX + report.id, report.as_dict())
        holds, deals = await holds_of(store), await OpenDeals.read(store)
        await _Eraser(store, report, ids, holds, deals, lease, pause).run(checked)
        report.ended = moment_of(clock())
        await store.set(ERASURE_PREFIX + report.id, report.as_dict())
    return report


def _ids(buyer: object) -> frozenset[str]:
    wanted = [buyer] if isinstance(buyer, str) else buyer
    found = frozenset(wanted) if isinstance(wanted, Iterable) else frozenset()
    if not found or not all(isinstance(one, str) and one.strip() for one in found):
        raise InvalidArgumentError(f"A buyer is a non-empty id, or several; not {shown(buyer)}")
    if (problem := first_refused([("id", one, partial(encode, one)) for one in found])) is not None:
        raise InvalidArgumentError(f"The buyer {problem}")
    return found


class _Eraser:
    """One buyer; without a lease nothing is changed."""

    def __init__(
        self,
        store: StorageBackend,
        report: Erasure,
        ids: frozenset[str],
        holds: Holds,
        deals: OpenDeals,
        lease: Lease | None,
        pause: float,
    ) -> None:
        self._store = store
        self._report = report
        self._ids = ids
        self._holds = holds
        self._deals = deals
        self._lease = lease
        self._pause = pause

    async def run(self, rules: list[ErasureRule]) -> None:
        for rule in rules:
            self._report.counts[rule.prefix] = Counter()
            await self._walk(rule)

    async def _walk(self, rule: ErasureRule) -> None:
        cursor: str | None = None
        while True:
            errors: list[CorruptValueError] = []
            page = await self._store.scan(
                f"{escape(rule.prefix)}*", limit=_PAGE, cursor=cursor, on_corrupt=errors.append
            )
            for error in errors:  # nobody can tell whose it is
                self._note(rule, "unreadable", error.key or "")
            mine = [key for key, value in page.items if rule.is_of(key, value, self._ids)]
            for start in range(0, len(mine), _BATCH):
                await self._batch(rule, mine[start : start + _BATCH], dict(page.items))
            cursor = page.cursor
            if cursor is None:
                return

    async def _batch(self, rule: ErasureRule, keys: list[str], values: dict[str, Any]) -> None:
        counts = self._report.counts[rule.prefix]
        if self._lease is None or rule.kind == "keep":
            for key in keys:
                word, _ = self._decide(rule, key, values[key], self._holds)
                self._note(rule, word, key)
            return
        words: dict[str, str] = {}
        counts.update(await change_entries(self._store, self._lease, keys, partial(self._decided, rule, words)))
        for key in keys:
            if words.get(key) != "deleted":
                self._name(words.get(key, "changed"), key)
        await asyncio.sleep(self._pause)

    def _decided(
        self, rule: ErasureRule, words: dict[str, str], key: str, value: Any, holds: Holds
    ) -> tuple[str, Any]:
        """Note what was decided last: a commit may be tried again."""
        word, change = self._decide(rule, key, value, holds)
        words[key] = word
        return word, change

    def _decide(self, rule: ErasureRule, key: str, value: Any, holds: Holds) -> tuple[str, Any]:
        if not rule.is_of(key, value, self._ids):
            return "changed", LEAVE  # it is no longer the buyer's
        if rule.kind == "keep":
            return "kept", LEAVE
        if (name := holds.over(key)) is not None:
            self._report.holds.add(name)
            return "held", LEAVE
        if rule.kind == "delete":
            return ("referred", LEAVE) if self._deals.need(key) else ("deleted", DELETE)
        for name in rule.redact:
            value = replaced_at(value, place_of(name, "redact"), lambda _: ERASED)
        return "redacted", value

    def _note(self, rule: ErasureRule, word: str, key: str) -> None:
        self._report.counts[rule.prefix][word] += 1
        if word != "deleted":
            self._name(word, key)

    def _name(self, word: str, key: str) -> None:
        named = self._report.remaining.setdefault(word, [])
        if len(named) < _NAMED:
            named.append(key)
