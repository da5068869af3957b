"""Which buyer agents were looked at, and what came of it."""

import uuid

from .base import StorageBackend


async def note_trust(storage: StorageBackend, url: str, tier: str) -> dict:
    record = {"verification_id": "vt-" + uuid.uuid4().hex[:12], "url": url, "tier": tier}
    await storage.set("verified_trust:" + record["verification_id"], record)
    return record
