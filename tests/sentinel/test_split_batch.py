"""One moment's writes that one script does not carry: each caller hears what became of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ad_seller.storage import StorageConnectionError, UnknownOutcomeError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import SentinelGroup
from ad_seller.storage.testing.redis_nodes import ask

pytestmark = pytest.mark.xdist_group("sentinel")


async def test_the_sentinels_forget_the_service_between_two_scripts(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path, down_after=60_000) as group:
        async with RedisBackend(group.url, timeout=4) as store:
            await store.set("a", 1)
            master = group.master()
            master.freeze()
            calls = [asyncio.create_task(store.set(key, "x" * 6_000_000)) for key in ("first", "second")]
            await asyncio.sleep(0.3)
            for one in group.sentinels:
                ask(one, "SENTINEL", "REMOVE", "mymaster")
            await asyncio.sleep(1.2)  # what is known of the master is older than a second
            master.thaw()
            told = await asyncio.gather(*calls, return_exceptions=True)
            for key, outcome in zip(("first", "second"), told, strict=True):
                stored = bool(ask(master, "EXISTS", f"ad_seller:{key}"))
                assert outcome is None if stored else isinstance(outcome, StorageConnectionError)
                assert not isinstance(outcome, UnknownOutcomeError)
            assert told[0] is None
