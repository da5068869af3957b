"""What can become of an effect outside the store, and where that is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

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
