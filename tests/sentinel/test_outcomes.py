"""Each caller hears what became of its own write, whatever shares its batch and however the servers fail."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from ad_seller.storage import StorageConnectionError, StorageError, UnknownOutcomeError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import SentinelGroup
from ad_seller.storage.testing.redis_nodes import ask
from tests.unread import more_unread, unread


async def test_the_sentinels_forget_the_service_between_two_scripts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SentinelGroup(tmp_path, down_after=60_000) as group:
        async with RedisBackend(group.url, timeout=60, trust_master=1) as store:
            master = group.master()
            await store.set("a", 1)
            master.freeze()
            before = unread(master.port)
            calls = [asyncio.create_task(store.set(key, "x" * 6_000_000)) for key in ("first", "second")]
            await more_unread(master.port, before, 10_000)  # and not what sentinels ask it
            for one in group.sentinels:
                ask(one, "SENTINEL", "REMOVE", "mymaster")
            await asyncio.sleep(1.2)  # what is known of the master is older than it may be
            master.thaw()
            told = await asyncio.gather(*calls, return_exceptions=True)
            for key, outcome in zip(("first", "second"), told, strict=True):
                stored = bool(ask(master, "EXISTS", f"ad_seller:{key}"))
                assert outcome is None if stored else isinstance(outcome, StorageConnectionError)
                assert not isinstance(outcome, UnknownOutcomeError)
            assert told[0] is None
            assert "knows no service 'mymaster'" in caplog.text, "nobody asked them between the two"


async def test_a_write_that_was_never_sent_has_a_known_outcome(tmp_path: Path) -> None:
    """All servers are gone, and calls come one after the other: each is told that nothing was written."""
    with SentinelGroup(tmp_path) as group:
        async with RedisBackend(group.url, timeout=1) as store:
            await store.set("a", 1)
            for node in group.nodes:
                node.kill()
            await asyncio.sleep(0.1)
            with suppress(StorageError):
                await store.get("a")  # takes note that the connections are gone
            calls = []
            for number in range(12):
                calls.append(asyncio.create_task(store.set(f"k{number}", 1)))
                await asyncio.sleep(0.1)
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(error).__name__ for error in errors] == ["StorageTimeoutError"] * 12
            assert all("Nothing was written" in str(error) for error in errors)
