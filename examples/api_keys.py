"""API keys: counting a use never brings a revoked key back.

A request that reads the key, adds one to its counter and writes it back would overwrite a revocation that came in
between. `update` looks at the key again at the moment of writing.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

from ad_seller.storage import StorageBackend, open_url

Record = dict[str, Any]


class KeyRefusedError(Exception):
    """The key is unknown or revoked."""


async def use_key(storage: StorageBackend, key_hash: str) -> Record:
    """Count a use of the key and return the key; a revoked one is refused and not counted."""

    def count(key: Record | None) -> Record:
        if key is None or key["revoked"]:
            raise KeyRefusedError("This API key is not valid")
        return key | {"use_count": key["use_count"] + 1, "last_used_at": now()}

    key: Record = await storage.update(f"api_key:{key_hash}", count)
    return key


async def revoke_key(storage: StorageBackend, key_hash: str) -> None:
    """Revoke the key for good; harmless twice."""

    def revoke(key: Record | None) -> Record:
        if key is None:
            raise KeyRefusedError("There is no such API key")
        return key if key["revoked"] else key | {"revoked": True, "revoked_at": now()}

    await storage.update(f"api_key:{key_hash}", revoke)


def now() -> str:
    return datetime.now(UTC).isoformat()


async def main() -> None:
    async with open_url("memory://") as storage:
        await storage.set("api_key:6433", {"key_id": "key-1", "revoked": False, "use_count": 0})
        requests = [use_key(storage, "6433"), revoke_key(storage, "6433"), use_key(storage, "6433")]
        print([type(answer).__name__ for answer in await asyncio.gather(*requests, return_exceptions=True)])
        key = await storage.get("api_key:6433") or {}
        print("revoked:", key["revoked"], "uses:", key["use_count"])


if __name__ == "__main__":
    asyncio.run(main())
