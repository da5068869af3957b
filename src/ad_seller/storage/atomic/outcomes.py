"""What can become of an effect outside the store, and where that is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import InvalidValueError
from ..records.codec import decode
from ..records.keys import check_key
from .claims import named

EFFECT_PREFIX = "effect:"  #: effects that were made, with their results
OPEN_PREFIX = "effect_open:"  #: effects that are about to be made, or of which nobody knows
CLAIM_PREFIX = "effect_claim:"  #: who is at work on one


@dataclass(frozen=True, slots=True)
class Applied:
    """The other system has done it.

    Attributes:
        result: what the call returned, or would have: a JSON value.
    """

    result: Any = None


@dataclass(frozen=True, slots=True)
class NotApplied:
    """The other system has not done it, and will not do it because of a call that was made before."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The other system cannot tell.

    Attributes:
        reason: a sentence for operators.
    """

    reason: str = ""


Reconciled = Applied | NotApplied | Unknown


class EffectKeys(NamedTuple):
    """Where an effect stands: what was made, what is about to be, who is at work on it."""

    done: str
    open: str
    claim: str

    @classmethod
    def of(cls, scope: object, name: object) -> EffectKeys:
        """Return them; no two pairs of scope and name share one."""
        prefixes = (EFFECT_PREFIX, OPEN_PREFIX, CLAIM_PREFIX)
        return cls(*(check_key(named(prefix, scope, name, called="name of an effect")) for prefix in prefixes))


def made(effect_id: str, result: Any) -> dict[str, Any]:
    """Return the record of an effect that was made."""
    return {"effect": effect_id, "result": result, "at": time.time()}


def read_note(text: bytes, key: str) -> dict[str, Any]:
    """Return the note of an effect that is about to be made, or of which nobody knows.

    Raises:
        CorruptValueError: the text is no JSON.
        InvalidValueError: it is no note of ours.
    """
    note = decode(text, key=key)
    parts = {"scope": str, "name": str, "effect": str, "at": int | float, "tries": int}
    if not isinstance(note, dict) or not all(isinstance(note.get(part), kind) for part, kind in parts.items()):
        raise InvalidValueError(f"{key!r} holds no note of an effect; choose another scope", key=key)
    return note
