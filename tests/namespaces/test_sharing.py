"""Several namespaces on one backend: who opens it, and who closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ad_seller.storage import NamespacedBackend, NotConnectedError, StorageBackend, sync
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.records.expiry import TTL
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.conformance.tested_directory import TestedDirectory

MAKERS: dict[str, Callable[[Path], StorageBackend]] = {
    "memory": lambda _: MemoryBackend(),
    "sqlite": lambda folder: SQLiteBackend(str(folder / "store.db")),
    "hybrid": lambda folder: HybridBackend(MemoryBackend(), SQLiteBackend(str(folder / "store.db"))),
    "seven methods": lambda folder: TestedDirectory(f"directory:///{folder}/store"),
    "a namespace": lambda _: NamespacedBackend(MemoryBackend(), "outer"),
}


@pytest.fixture(params=MAKERS)
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> StorageBackend:
    return MAKERS[request.param](tmp_path)


async def test_the_last_one_closes_it(whole: StorageBackend) -> None:
    one, other = NamespacedBackend(whole, "one"), NamespacedBackend(whole, "other")
    await asyncio.gather(one.connect(), other.connect(), one.connect())
    await one.set("a", 1)
    await one.disconnect()
    await one.disconnect()
    with pytest.raises(NotConnectedError):
        await one.get("a")
    await other.set("a", 2)
    assert await whole.count() == 2
    await other.disconnect()
    with pytest.raises(NotConnectedError):
        await other.get("a")
    assert not whole._is_connected()


async def test_who_opened_it_before_keeps_it(whole: StorageBackend) -> None:
    async with whole:
        for _ in range(2):
            async with NamespacedBackend(whole, "one") as one, NamespacedBackend(whole, "other") as other:
                await one.set("a", 1)
                assert await other.get("a") is None
        assert await whole.get("ns:one:a") == 1 or isinstance(whole, NamespacedBackend)
        assert whole._is_connected()
    assert not whole._is_connected()


async def test_a_connect_that_fails_holds_nothing_open(tmp_path: Path) -> None:
    whole = SQLiteBackend(str(tmp_path / "store.db"), create=False)
    one, other = NamespacedBackend(whole, "one"), NamespacedBackend(whole, "other")
    with pytest.raises(LookupError):
        await one.connect()
    async with SQLiteBackend(str(tmp_path / "store.db")):
        await other.connect()
    await other.disconnect()
    assert not whole._is_connected()


def test_two_event_loops_at_once(tmp_path: Path) -> None:
    """Each has a namespace of one backend, and comes and goes; neither takes it away from the other."""
    whole = SQLiteBackend(str(tmp_path / "store.db"))
    failures: list[BaseException] = []

    async def come_and_go(name: str) -> None:
        for number in range(20):
            async with NamespacedBackend(whole, name) as mine:
                await mine.set("a", number)
                assert await mine.get("a") == number

    def run(name: str) -> None:
        try:
            asyncio.run(come_and_go(name))
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=run, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not whole._is_connected()


async def test_a_hybrid_keeps_an_entry_where_it_would_be_without(tmp_path: Path) -> None:
    first, second = MemoryBackend(), SQLiteBackend(str(tmp_path / "store.db"))
    async with NamespacedBackend(HybridBackend(first, second), "a") as storage:
        await storage.set_many({"order:1": {}, "session:1": {}, "session_index:buyer:gold": ["1"]})
        assert await first.keys() == ["ns:a:order:1"]
        assert await second.keys("*:session*") == ["ns:a:session:1", "ns:a:session_index:buyer:gold"]
        for pattern, found in {"*": 3, "s*": 2, "session:*": 1, "order:?": 1, "o*": 1}.items():
            assert len(await storage.keys(pattern)) == found, pattern
        assert len(await storage.backend.keys("ns:*")) == len(await storage.backend.keys("ns:a*")) == 3


async def test_what_lasts_is_updated_though_nobody_here_knows_its_expiry(tmp_path: Path) -> None:
    """On a backend of seven methods, where another instance wrote it."""
    for expected in (1, 2):
        whole = TestedDirectory(f"directory:///{tmp_path}/store")
        async with NamespacedBackend(whole, "a") as storage:
            changed = await storage.update("order:1", lambda order: {"n": (order or {"n": 0})["n"] + 1})
            assert changed == {"n": expected}


def test_calls_without_await(tmp_path: Path) -> None:
    with sync.open_url(f"sqlite:///{tmp_path}/store.db", namespace="a b") as storage:
        storage.set("order:1", {"status": "draft"})
        assert storage.get("order:1") == {"status": "draft"}
        assert storage.get_order("1") == {"status": "draft"}
        assert storage.keys() == ["order:1"]
        assert storage.transact(lambda tx: tx.get("order:1")) == {"status": "draft"}
    with pytest.raises(NotConnectedError):
        storage.get("order:1")


class Sealing(MemoryBackend):
    """Somebody's own backend on one of ours: what is stored is not what is given."""

    async def get(self, key: str) -> Any | None:
        """Open what was sealed."""
        sealed = await super().get(key)
        return None if sealed is None else sealed["sealed"]

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        """Seal it."""
        await super().set(key, {"sealed": value}, ttl)


async def test_a_subclass_that_gets_and_sets_in_its_own_way_is_asked_so() -> None:
    async with Sealing() as backend, NamespacedBackend(backend, "publisher-a") as storage:
        await storage.set("deal:1", 1, ttl=60)
        assert await storage.get("deal:1") == 1
        assert await MemoryBackend.get(backend, "ns:publisher-a:deal:1") == {"sealed": 1}
        assert await storage.ttl("deal:1") is not None
