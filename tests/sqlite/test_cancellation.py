"""Whoever is cancelled leaves nothing behind: no transaction, thread, descriptor, or answer for somebody else."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.storms import Holdings, cancel_at_random, value_of

from .support import is_intact, write_lock_is_free


async def test_ten_thousand_cancelled_operations(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        await store.set("warm-up", 1)
        assert await store.get("warm-up") == len(await store.keys())  # every reader has opened what it needs
        assert write_lock_is_free(path)  # SQLite keeps the descriptors of the first such look for the next
        before = Holdings()
        for part in range(5):
            cancelled, ended = await cancel_at_random(store, 2000, seed=part)
            assert min(cancelled, ended) > 50
            # Everybody has left; the batch that was under way ends by itself, within milliseconds.
            await store.set("mine", value_of("mine", part))
            assert write_lock_is_free(path)
            assert await store.get("mine") == value_of("mine", part)
            assert all(value["key"] == key for key, value in (await store.scan("storm:*")).items)
        await before.settle()
    assert is_intact(path)


async def test_a_cancelled_write_is_whole_or_absent(store: SQLiteBackend) -> None:
    chance = random.Random(7)
    for round_ in range(200):
        names = [f"{round_}:{number}" for number in range(20)]
        write = asyncio.create_task(store.set_many(dict.fromkeys(names, round_)))
        await asyncio.sleep(chance.random() * 0.002)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        await store.set("fence", round_)  # a write after it: by now its fate is settled
        assert len(await store.get_many(names)) in {0, 20}


async def test_a_hundred_cancelled_connects_leak_nothing(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
    chance = random.Random(3)
    assert write_lock_is_free(path)
    before = Holdings()
    connected = 0
    for number in range(100):
        store = SQLiteBackend(str(path))
        connect = asyncio.create_task(store.connect())
        await asyncio.sleep(0 if number % 4 == 0 else chance.random() * 0.004)
        connect.cancel()
        await asyncio.gather(connect, return_exceptions=True)
        if connect.cancelled():
            assert store._connection is None
        else:
            connected += 1
            assert await store.get("key") == 1
            await store.disconnect()
        assert write_lock_is_free(path)
    assert connected < 100
    await before.settle()


async def test_a_cancelled_connect_can_be_followed_by_another(path: Path) -> None:
    store = SQLiteBackend(str(path))
    for _ in range(10):
        connect = asyncio.create_task(store.connect())
        await asyncio.sleep(0.001)
        connect.cancel()
        others = [asyncio.create_task(store.connect()) for _ in range(3)]
        await asyncio.gather(connect, *others, return_exceptions=True)
        assert all(other.exception() is None for other in others)
        await store.set("key", 1)
        await store.disconnect()


async def test_a_cancelled_disconnect_still_closes(path: Path) -> None:
    before = Holdings()
    for _ in range(20):
        store = SQLiteBackend(str(path))
        await store.connect()
        write = asyncio.create_task(store.set("key", 1))
        await asyncio.sleep(0)
        disconnect = asyncio.create_task(store.disconnect())
        await asyncio.sleep(0)
        disconnect.cancel()
        with pytest.raises(asyncio.CancelledError):
            await disconnect
        await write
        await store.disconnect()
    await before.settle()
