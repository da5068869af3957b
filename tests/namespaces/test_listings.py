"""What a namespace gives out is whole, whatever stands in its keys: engines cut its prefix from many at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ad_seller.storage import InvalidValueError, NamespacedBackend, StorageBackend, StorageError
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.conformance.tested_directory import TestedDirectory

#: Keys in which the prefix and the marks of JSON arrays stand.
KEYS = [
    *('"', ',"', '","', '\\"', ',"ns:n:', '["ns:n:', '\\",\\"ns:n:a', "ns:n:", "ns:n:a", "[", "]", ","),
    *("\\", "\n", "\x1f", "\x7f", "é", "\U0001f600", " ", "order:1", 'order:","ns:n:order:2', "order:ns:n:order:3"),
]


MADE = "memory", "sqlite", "redis", "postgres", "postgres, key by key", "hybrid", "seven methods", "a namespace"


@pytest.fixture(params=MADE)
def whole(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    redis_url: str,
    redis_prefix: str,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> StorageBackend:
    if request.param == "postgres, key by key":
        monkeypatch.setattr("ad_seller.storage.postgres.listings._KEY_ROWS", 1)
    made: dict[str, StorageBackend] = {
        "memory": MemoryBackend(),
        "redis": RedisBackend(redis_url, key_prefix=redis_prefix),
        "sqlite": SQLiteBackend(str(tmp_path / "a.db")),
        "postgres": PostgresBackend(postgres_url),
        "postgres, key by key": PostgresBackend(postgres_url),
        "hybrid": HybridBackend(MemoryBackend(), SQLiteBackend(str(tmp_path / "b.db"))),
        "seven methods": TestedDirectory(f"directory:///{tmp_path}/store"),
        "a namespace": NamespacedBackend(SQLiteBackend(str(tmp_path / "c.db")), "n"),
    }
    return made[request.param]


async def test_keys_and_entries_come_out_as_they_went_in(whole: StorageBackend) -> None:
    async with whole, NamespacedBackend(whole, "n") as storage, NamespacedBackend(whole, "n:n") as other:
        assert await storage.keys() == []
        await whole.set("ns:n:", "of somebody who wrote past the namespace: it has no name in it")
        assert await storage.keys() == []
        await storage.set_many({key: key for key in KEYS})
        await other.set_many(dict.fromkeys(KEYS, "theirs"))
        assert await storage.keys() == sorted(KEYS)
        counts = {
            "*": len(KEYS),
            "**": len(KEYS),
            "": 0,
            "order:1": 1,
            "order:*": len(await storage.keys("order:*")),
        }
        assert {pattern: await storage.count(pattern) for pattern in counts} == counts
        assert await storage.keys("order:*") == sorted(key for key in KEYS if key.startswith("order:"))
        assert await storage.keys("*n:[a]") == sorted(key for key in KEYS if key.endswith("n:a"))
        assert await storage.keys("order:1") == ["order:1"]
        assert (await storage.scan("order:*")).items == [(key, key) for key in await storage.keys("order:*")]
        assert [key async for key, _ in storage.iterate("*", page_size=5)] == sorted(KEYS)
        assert [key for key, _ in (await storage.scan(reverse=True)).items] == sorted(KEYS, reverse=True)
        assert [entry.key async for page in storage._entry_pages("") for entry in page] == sorted(KEYS)
        assert (await storage.find("order:*", {"a": 1})).items == []


async def test_updates_by_several_instances_are_one_queue_and_speak_of_the_keys_of_the_namespace(
    whole: StorageBackend,
) -> None:
    async with whole, NamespacedBackend(whole, "n") as one, NamespacedBackend(whole, "n") as two:
        await asyncio.gather(
            *(storage.update("deal:1", lambda n: (n or 0) + 1) for storage in (one, two) for _ in range(20))
        )
        assert await one.get("deal:1") == 40
        with pytest.raises(InvalidValueError, match="deal:1") as caught:
            await one.update("deal:1", lambda _: None)
        assert "ns:" not in str(caught.value)
        assert caught.value.key == "deal:1"
        mine = StorageError("the caller's own", key="deal:1")

        def refuse(_: object) -> object:
            raise mine

        with pytest.raises(StorageError) as own:
            await one.update("deal:1", refuse)
        assert own.value is mine
        assert json.dumps(await two.get("deal:1")) == "40"
