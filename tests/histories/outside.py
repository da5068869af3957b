"""What clients do in another system: a folder, in which each thing that was made is a link of its own.

A link is made at once or not at all, whoever is killed meanwhile, and needs no room on a full disk. The system is
naive: asked twice it makes a thing twice.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from pathlib import Path
from typing import Any

from ad_seller.storage import Applied, NotApplied, Reconciled, StorageBackend, StorageError, Transaction

_LOST = 0.1  #: the share of requests to the other system that are lost, and of its answers
CLAIM_TTL = 1.0  #: seconds; no client is frozen for half as long


class LostError(StorageError):
    """A request to the other system was lost, or its answer."""


async def _way(key: str) -> None:
    await asyncio.sleep(random.random() * 0.002)
    if random.random() < _LOST:
        raise LostError("no answer from the other system", key=key)


class Outside:
    """The other system.

    Args:
        folder: where it keeps what it made; made if need be.
        outbox: where the messages of bookings go.
    """

    def __init__(self, folder: Path, outbox: str) -> None:
        self._folder = folder
        self._outbox = outbox
        folder.mkdir(exist_ok=True)

    async def effect(self, store: StorageBackend, key: str, value: Any) -> Any:
        """Have a thing made once for a key; return what it is."""

        async def make(effect_id: str) -> Any:
            await _way(key)
            text = json.dumps([key, value])
            try:
                (self._folder / effect_id).symlink_to(text)
            except FileExistsError:
                (self._folder / f"{effect_id} again {uuid.uuid4().hex}").symlink_to(text)
            await _way(key)
            return value

        async def ask(effect_id: str) -> Reconciled:
            try:
                return Applied(_made(self._folder / effect_id)[1])
            except FileNotFoundError:
                return NotApplied()

        return await store.effect(key, "order", make, reconcile=ask, claim_ttl=CLAIM_TTL)

    async def booking(self, store: StorageBackend, key: str, value: Any) -> Any:
        """Do that as part of a request, and tell of it by a message."""

        async def work(tx: Transaction) -> Any:
            made = await self.effect(store, key, value)
            await tx.outbox(self._outbox).put([key, *made], key=key)
            return made

        return await store.run_once(key, "request", 1, work, claim_ttl=CLAIM_TTL)


def _made(link: Path) -> tuple[str, Any]:
    key, value = json.loads(str(link.readlink()))
    return key, value


def made_twice(folder: Path) -> list[str]:
    """Return what was made more than once, as text."""
    found: dict[str, list[str]] = {}
    for link in sorted(folder.iterdir()) if folder.exists() else ():
        key, value = _made(link)
        found.setdefault(key, []).append(f"{value} as {link.name}")
    return [f"made twice for {key}: {made}" for key, made in found.items() if len(made) > 1]
