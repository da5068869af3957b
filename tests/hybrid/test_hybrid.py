"""What joining two backends adds: routes, one listing, one life cycle, and commits that stay on one side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    ConfigurationError,
    CrossStoreError,
    InvalidCursorError,
    InvalidValueError,
    NotConnectedError,
    StorageBackend,
    Transaction,
)
from ad_seller.storage.hybrid.backend import HybridBackend
from ad_seller.storage.hybrid.sides import DEFAULT_ROUTES
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from examples.custom_backend import DirectoryBackend
from tests.atomic.support import DictBackend

ON_REDIS = [f"{route}1" for route in DEFAULT_ROUTES]
ON_POSTGRES = [
    "deal:1",
    "session",
    "sessions:1",
    "agent:1",
    "agent_url_index:x",
    "lease:a",
    "idempotency:a:1",
    "z",
    "cach",
]


class TestRoutes:
    async def test_each_key_lives_on_one_side(self, joined: HybridBackend) -> None:
        keys = [*ON_REDIS, *ON_POSTGRES]
        await joined.set_many({key: key for key in keys})
        assert await joined.redis.keys() == sorted(ON_REDIS)
        assert await joined.postgres.keys() == sorted(ON_POSTGRES)
        assert await joined.get_many(reversed(keys)) == {key: key for key in reversed(keys)}
        assert list(await joined.get_many(reversed(keys))) == [*reversed(keys)]
        assert await joined.keys() == sorted(keys)
        assert await joined.count() == len(keys)
        assert await joined.delete_many([*keys, "no", "cache:no"]) == len(keys)

    async def test_every_operation_on_one_entry_goes_to_its_side(self, joined: HybridBackend) -> None:
        for key, side, other in (
            ("session:1", joined.redis, joined.postgres),
            ("deal:1", joined.postgres, joined.redis),
        ):
            await joined.set(key, 1, ttl=100)
            assert await side.get(key) == 1
            assert await joined.expire(key, 50)
            assert await joined.ttl(key) == pytest.approx(50, abs=1)
            assert await joined.persist(key)
            assert await joined.compare_and_set(key, 1, 2)
            assert await joined.increment(key) == 3
            assert await joined.exists(key)
            assert not await joined.create(key, 1)
            assert await joined.update(key, lambda value: value + 1) == 4
            assert await joined.get_and_delete(key) == 4
            assert await other.keys() == []

    async def test_the_entities_of_a_seller(self, joined: HybridBackend) -> None:
        await joined.set_session("s1", {"a": 1})
        await joined.set_deal("d1", {"b": 1})
        await joined.save_buyer_session("s2", {"a": 2}, "buyer-1")
        await joined.register_agent("a1", {"name": "x"}, "https://x")
        assert await joined.list_sessions() == [{"a": 1}, {"a": 2}]
        assert await joined.get_buyer_session_ids("buyer-1") == ["s2"]
        assert await joined.get_agent_id_by_url("https://x") == "a1"
        assert await joined.redis.keys() == ["session:s1", "session:s2", "session_index:buyer:buyer-1"]

    async def test_other_routes(self) -> None:
        async with HybridBackend(MemoryBackend(), MemoryBackend(), routes=["quote:"]) as storage:
            await storage.set_many({"quote:1": 1, "session:1": 1})
            assert await storage.redis.keys() == ["quote:1"]

    async def test_no_routes(self) -> None:
        async with HybridBackend(MemoryBackend(), MemoryBackend(), routes=()) as storage:
            await storage.set("session:1", 1)
            assert await storage.keys() == await storage.postgres.keys() == ["session:1"]

    @pytest.mark.parametrize("routes", ["session:", [""], ["a\0"], [1]], ids=repr)
    def test_routes_that_cannot_be(self, routes: Any) -> None:
        with pytest.raises(ValueError, match=r"routes|key"):
            HybridBackend(MemoryBackend(), MemoryBackend(), routes=routes)

    def test_sides_that_cannot_be(self) -> None:
        one = MemoryBackend()
        for sides in ((one, one), (one, "redis://localhost"), (None, one)):
            with pytest.raises(ConfigurationError):
                HybridBackend(*sides)


class TestListings:
    async def test_what_lies_on_the_wrong_side_is_not_seen(self, joined: HybridBackend) -> None:
        await joined.set_many({"deal:1": 1, "session:1": 1})
        await joined.postgres.set_many({"session:1": "stray", "session:2": "stray"})
        await joined.redis.set_many({"deal:1": "stray", "a": "stray"})
        assert await joined.keys() == ["deal:1", "session:1"]
        assert await joined.count("s*") == 1
        assert (await joined.scan()).items == [("deal:1", 1), ("session:1", 1)]
        first = await joined.scan(limit=1)
        assert first.items == [("deal:1", 1)]
        assert (await joined.scan(limit=1, cursor=first.cursor)).items == [("session:1", 1)]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    async def test_pages_of_both_sides_come_in_one_order(self, joined: HybridBackend, limit: int) -> None:
        entries = {f"{prefix}:{n}": n for n in range(9) for prefix in ("session", "deal", "quote", "cache", "x")}
        await joined.set_many(entries)
        assert await self.walk(joined, limit) == sorted(entries)

    async def test_pages_stay_whole_while_others_write(self, joined: HybridBackend) -> None:
        stay = {f"{prefix}:{n:02}": n for n in range(20) for prefix in ("session", "rate", "t")}
        await joined.set_many(stay)
        found: list[str] = []
        cursor = None
        for number in range(100):
            page = await joined.scan(limit=3, cursor=cursor)
            found += [key for key, _ in page.items]
            await joined.set_many({f"session:{number:02}+": 0, f"a:{number}": 0})
            await joined.delete_many([f"session:{number - 1:02}+"])
            cursor = page.cursor
            if cursor is None:
                break
        assert sorted({*found} & {*stay}) == sorted(stay)
        assert found == sorted({*found})

    async def test_sides_with_cursors_of_their_own(self, tmp_path: Path) -> None:
        class Counting(MemoryBackend):
            """Its cursors mean nothing to anybody else."""

            async def scan(self, *args: Any, cursor: str | None = None, **kwargs: Any) -> Any:
                page = await super().scan(*args, cursor=cursor and cursor.removeprefix("mine:"), **kwargs)
                return page._replace(cursor=page.cursor and f"mine:{page.cursor}")

        directory = DirectoryBackend(f"directory:///{tmp_path}")
        async with HybridBackend(directory, Counting()) as storage:
            entries = {f"{prefix}:{n}": n for n in range(5) for prefix in ("session", "deal", "x")}
            await storage.set_many(entries)
            assert await self.walk(storage, 2) == sorted(entries)

    async def test_only_sides_that_can_match_are_asked(self, joined: HybridBackend) -> None:
        await joined.set_many({"deal:1": 1, "session:1": 1, "sess": 1})
        await joined.redis.disconnect()
        assert await joined.keys("deal:*") == ["deal:1"]
        assert await joined.count("deals*") == 0
        for pattern in ("*", "s*", "?eal:*", "session:*", "session:1", "[d]*"):
            with pytest.raises(NotConnectedError):
                await joined.keys(pattern)
        await joined.redis.connect()

    async def test_filtered_listings_ask_the_side_of_the_records(self, joined: HybridBackend) -> None:
        orders = {f"order:{n}": {"status": "open" if n % 3 else "closed", "n": n} for n in range(9)}
        await joined.set_many(orders)
        await joined.redis.set("order:stray", {"status": "open"})
        await joined.redis.disconnect()
        assert [order["n"] for order in await joined.list_orders({"status": "closed"})] == [0, 3, 6]
        await joined.redis.connect()

    async def test_a_route_of_some_records_of_a_kind(self) -> None:
        async with HybridBackend(MemoryBackend(), MemoryBackend(), routes=["order:vip-"]) as storage:
            orders = {f"order:{name}": {"status": "open", "n": name} for name in ("a", "vip-1", "z")}
            await storage.set_many(orders)
            assert await storage.redis.keys() == ["order:vip-1"]
            assert await storage.list_orders({"status": "open"}) == list(orders.values())

    @pytest.mark.parametrize("cursor", ["", "x", "WzFd", "W10=", 5, "WyJhIl0="])
    async def test_a_cursor_of_nobody(self, joined: HybridBackend, cursor: Any) -> None:
        with pytest.raises(InvalidCursorError):
            await joined.scan(cursor=cursor)

    async def test_a_cursor_of_another_pattern(self, joined: HybridBackend) -> None:
        await joined.set_many({"deal:1": 1, "deal:2": 1, "session:1": 1})
        cursor = (await joined.scan("deal:*", limit=1)).cursor
        with pytest.raises(InvalidCursorError):
            await joined.scan("*", limit=1, cursor=cursor)

    @staticmethod
    async def walk(storage: StorageBackend, limit: int) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = await storage.scan(limit=limit, cursor=cursor)
            assert len(page.items) <= limit
            found += [key for key, _ in page.items]
            if (cursor := page.cursor) is None:
                return found


class TestCommits:
    async def test_over_both_sides_is_refused_before_anything_is_written(self, joined: HybridBackend) -> None:
        async def work(tx: Transaction) -> None:
            await tx.set("deal:1", 1)
            await tx.set("session:1", 1)

        with pytest.raises(CrossStoreError, match=r"'deal:1' lives in MemoryBackend and 'session:1'") as caught:
            await joined.transact(work)
        assert "nothing was written" in str(caught.value)
        assert await joined.keys() == []

    async def test_a_read_of_the_other_side_counts(self, joined: HybridBackend) -> None:
        async def work(tx: Transaction) -> None:
            await tx.get("session:1")
            await tx.set("deal:1", 1)

        with pytest.raises(CrossStoreError):
            await joined.transact(work)
        assert await joined.keys() == []

    async def test_on_each_side_alone(self, joined: HybridBackend) -> None:
        for prefix in ("deal:", "session:"):
            async with joined.transaction() as tx:
                await tx.set(f"{prefix}1", 1)
                await tx.set(f"{prefix}2", 1)
        assert await joined.count() == 4

    async def test_a_transaction_that_only_reads_sees_both(self, joined: HybridBackend) -> None:
        await joined.set_many({"deal:1": 1, "session:1": 2})
        async with joined.transaction() as tx:
            assert [await tx.get("deal:1"), await tx.get("session:1")] == [1, 2]

    async def test_run_once_cannot_write_sessions(self, joined: HybridBackend) -> None:
        async def work(tx: Any) -> int:
            await tx.set_session("1", {})
            return 1

        with pytest.raises(CrossStoreError, match="idempotency:"):
            await joined.run_once("book", "1", {}, work)
        assert await joined.list_sessions() == []

    async def test_set_many_checks_everything_before_it_writes(self, joined: HybridBackend) -> None:
        for bad in ({"deal:1": 1, "session:1": float("nan")}, {"deal:1": float("nan"), "session:1": 1}):
            with pytest.raises(InvalidValueError):
                await joined.set_many(bad)
        assert await joined.keys() == []

    def test_what_is_promised(self) -> None:
        both = HybridBackend(PostgresBackend("postgresql://h/d"), RedisBackend("redis://h")).capabilities
        assert (both.atomic, both.expiry, both.durable, both.shared, both.atomic_batches) == (
            *("store", "store", True, True),
            False,
        )
        weaker = HybridBackend(PostgresBackend("postgresql://h/d"), DictBackend()).capabilities
        assert (weaker.atomic, weaker.expiry) == ("process", "process")
