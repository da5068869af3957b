"""Another system, as effects meet it: it keeps orders by the id that it is given, or loses the way."""

from __future__ import annotations

import asyncio
from typing import Any

from ad_seller.storage import Applied, NotApplied, Reconciled, StorageBackend, Unknown


class AdSystem:
    """Orders by id.

    Attributes:
        made: the id of every order, in the order of making; it accepts the same id twice, so that this would show.
        asked: the ids that were asked about.
        knows: what `reconcile` says: None for the truth.
        fails: raised by `call` before the order is made, or after it.
    """

    def __init__(self) -> None:
        self.made: list[str] = []
        self.asked: list[str] = []
        self.knows: Any = None
        self.fails_before: BaseException | None = None
        self.fails_after: BaseException | None = None

    async def call(self, effect_id: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        if self.fails_before is not None:
            raise self.fails_before
        self.made.append(effect_id)
        number = len(self.made)
        await asyncio.sleep(0)
        if self.fails_after is not None:
            raise self.fails_after
        return {"order": number}

    async def reconcile(self, effect_id: str) -> Reconciled:
        await asyncio.sleep(0)
        self.asked.append(effect_id)
        if isinstance(self.knows, BaseException):
            raise self.knows
        if self.knows is not None:
            knows: Reconciled = self.knows
            return knows
        if effect_id in self.made:
            return Applied({"order": self.made.index(effect_id) + 1})
        return NotApplied()


CANNOT_TELL = Unknown("it is being repaired")
DONE, OPEN, CLAIM = "effect:book:order", "effect_open:book:order", "effect_claim:book:order"


async def order(store: StorageBackend, ads: AdSystem, name: str = "order", **terms: Any) -> Any:
    call, reconcile = terms.pop("call", ads.call), terms.pop("reconcile", ads.reconcile)
    return await store.effect("book", name, call, reconcile=reconcile, **terms)
