"""Pages of a store on Redis: a few keys come first, and tell how many of the others a page carries."""

from __future__ import annotations

import asyncio

import pytest

from ad_seller.storage.driver.transfer import PAGE_BYTES, PAGE_ENTRIES
from ad_seller.storage.redis_backend import RedisBackend

_LARGE = PAGE_BYTES // 4


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([10] * 4_500, id="small"),
        pytest.param([5_000] * 2_500, id="middling"),
        pytest.param([_LARGE] * 30, id="large"),
        pytest.param([10] * 700 + [_LARGE] * 30 + [10] * 700, id="large-among-small"),
        pytest.param([_LARGE] * 10 + [10] * 2_100, id="small-after-large"),
    ],
)
async def test_each_entry_comes_once_in_little_memory(redis_url: str, redis_prefix: str, sizes: list[int]) -> None:
    stored = {f"key:{number:05}": "x" * size for number, size in enumerate(sizes)}
    async with RedisBackend(redis_url, redis_prefix) as store:
        await store.set_many(stored)
        pages = [page async for page in store._entry_pages("key:", None)]
    assert [(entry.key, len(entry.text) - 2) for page in pages for entry in page] == [
        (key, len(value)) for key, value in stored.items()
    ]
    assert max(len(page) for page in pages) <= PAGE_ENTRIES
    # Calls after the first have twice their share, and each may go beyond it by one text.
    assert max(sum(len(entry.text) for entry in page) for page in pages) < 2 * PAGE_BYTES + 11 * _LARGE
    assert len(pages) <= 3 + 2 * sum(sizes) // PAGE_BYTES + len(sizes) // PAGE_ENTRIES, "pages are nearly empty"


async def test_keys_that_are_gone_are_passed_over(redis_url: str, redis_prefix: str) -> None:
    """A whole page of them, too: names are told as they were, and looked up afterwards."""
    async with RedisBackend(redis_url, redis_prefix) as store:
        await store.set_many({f"key:{number:05}": number for number in range(2_500)})
        await store.set("key:99999", 1, ttl=60)
        await store.set_many({f"key:{number:05}": number for number in range(2_300)}, ttl=0.05)
        await asyncio.sleep(0.1)  # they are over, and stand in the index still
        pages = [page async for page in store._entry_pages("key:", None)]
    assert [entry.key for page in pages for entry in page] == [
        *(f"key:{n:05}" for n in range(2_300, 2_500)),
        "key:99999",
    ]
    assert pages[-1][-1].deadline is not None
