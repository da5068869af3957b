"""`examples/api_keys.py`: revoked is revoked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ad_seller.storage import StorageBackend, open_url
from examples.api_keys import KeyRefusedError, revoke_key, use_key


@pytest.fixture
async def storage() -> AsyncIterator[StorageBackend]:
    async with open_url("memory://") as backend:
        await backend.set("api_key:k", {"key_id": "key-1", "revoked": False, "use_count": 0})
        yield backend


async def test_uses_are_counted_until_it_is_revoked(storage: StorageBackend) -> None:
    assert [(await use_key(storage, "k"))["use_count"] for _ in range(3)] == [1, 2, 3]
    await revoke_key(storage, "k")
    with pytest.raises(KeyRefusedError):
        await use_key(storage, "k")
    key = await storage.get("api_key:k") or {}
    assert (key["revoked"], key["use_count"], key["key_id"]) == (True, 3, "key-1")


async def test_revoking_twice_keeps_the_time_of_the_first(storage: StorageBackend) -> None:
    await revoke_key(storage, "k")
    first = await storage.get("api_key:k")
    await revoke_key(storage, "k")
    assert await storage.get("api_key:k") == first


async def test_an_unknown_key_is_refused_and_not_made(storage: StorageBackend) -> None:
    for call in (use_key, revoke_key):
        with pytest.raises(KeyRefusedError):
            await call(storage, "unknown")
    assert await storage.keys() == ["api_key:k"]
