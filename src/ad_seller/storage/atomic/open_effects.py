"""Effects that were not made to their end: what operators see of them, and decide."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..driver.commit import Commit, Delete, Expect, Put, Refused
from ..errors import CorruptValueError, InFlightError, InvalidArgumentError, shown
from ..records.codec import decode
from ..records.expiry import check_ttl
from .claims import Seen
from .outcomes import CLAIM_PREFIX, OPEN_PREFIX, Applied, EffectKeys, NotApplied, made, read_note

if TYPE_CHECKING:
    from .committer import Committer

log = logging.getLogger("ad_seller.storage")

_AT_ONCE = 500  #: notes that are read at once


@dataclass(frozen=True, slots=True)
class OpenEffect:
    """An effect that is being made, or of which nobody knows whether it was.

    Attributes:
        scope: what it belongs to.
        name: what it is called there.
        effect_id: the id that the other system was given.
        began: when it was first about to be made, by the clock of that process.
        tries: how often somebody was at work on it.
        is_running: whether somebody is at work on it now.
        said: how the last try ended; None if it ended without a word, or has not ended.
    """

    scope: str
    name: str
    effect_id: str
    began: datetime
    tries: int
    is_running: bool
    said: str | None


async def open_effects(store: Committer) -> list[OpenEffect]:
    """Return them, the oldest first."""
    keys = await store.keys(f"{OPEN_PREFIX}*")
    found: list[OpenEffect] = []
    for first in range(0, len(keys), _AT_ONCE):
        part = keys[first : first + _AT_ONCE]
        notes = await store._atomic_snapshot(part)
        claims = await store._atomic_snapshot([CLAIM_PREFIX + key.removeprefix(OPEN_PREFIX) for key in part])
        for key, text, claim in zip(part, notes, claims, strict=True):
            if text is None:
                continue
            try:
                found.append(_read(read_note(text, key), is_running=claim is not None))
            except (CorruptValueError, OSError, OverflowError, ValueError) as error:  # also of a time that is none
                log.warning("Left out of the open effects: %s", error)
    return sorted(found, key=lambda effect: effect.began)


def _read(note: dict[str, Any], *, is_running: bool) -> OpenEffect:
    began = datetime.fromtimestamp(note["at"], UTC)
    return OpenEffect(
        note["scope"], note["name"], note["effect"], began, note["tries"], is_running, note.get("said")
    )


async def resolve_effect(store: Committer, scope: str, name: str, outcome: Applied | NotApplied, ttl: Any) -> bool:
    """Decide what became of an open effect; tell whether there is one.

    Raises:
        InFlightError: somebody is at work on it.
    """
    keys = EffectKeys.of(scope, name)
    if not isinstance(outcome, Applied | NotApplied):
        raise InvalidArgumentError(f"An effect was Applied(result) or NotApplied(), not {shown(outcome)}")
    ttl_ms = check_ttl(ttl, key=keys.done)
    while True:
        note, claim = await store._atomic_snapshot([keys.open, keys.claim])
        if claim is not None:
            pause = Seen.of(keys.claim, claim, decode(claim, key=keys.claim), 0).retry_after
            raise InFlightError(f"{keys.done!r} is being worked on", key=keys.done, retry_after=pause)
        if note is None:
            return False
        expectations = (Expect(keys.open, note), Expect(keys.claim, None))
        result: tuple[Put, ...] = ()
        if isinstance(outcome, Applied):
            record = made(read_note(note, keys.open)["effect"], outcome.result)
            result = (Put(keys.done, store._atomic_encode(record, keys.done), ttl_ms),)
        if not isinstance(await store._atomic_commit(Commit(expectations, (*result, Delete(keys.open)))), Refused):
            return True
