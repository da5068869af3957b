"""Copies and imports into a target without room: a clear error, and with room again they go on and lose nothing."""

from __future__ import annotations

import asyncio
import json
import random
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import redis

from ad_seller.storage import StorageBackend, StorageConnectionError, StoreUnavailableError, UnknownOutcomeError
from ad_seller.storage.driver import StoredEntry
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import checkpoints, copy_entries, copying, export_entries, import_entries
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.full_disk import end_of_log, limit_files, small_files
from tests.redis.test_full_disk import accepted

MANY = 6_000
LOG_SEGMENT = 16 << 20  #: bytes; no file of PostgreSQL's write-ahead log is larger, so only tables meet this limit


async def fill(storage: StorageBackend, size: int = 500) -> None:
    """Store entries that cannot be compressed much."""
    for first in range(0, MANY, 1_000):
        texts = [b'"%s"' % random.randbytes(size // 2).hex().encode() for _ in range(1_000)]
        await storage._store_entries(
            [StoredEntry(f"deal:{first + n:05}", text, None) for n, text in enumerate(texts)]
        )


async def check_copy_and_import(
    target: StorageBackend, folder: Path, words: str, room: Callable[[], Awaitable[object]], size: int = 500
) -> None:
    """Copy into a target that gets full, go on when there is room; likewise with an import into what is there."""
    async with MemoryBackend() as source, target:
        await fill(source, size)
        with pytest.raises(StoreUnavailableError, match=words):
            await copy_entries(source, target, checkpoint=folder / "copy.json")
        assert 0 < (stored := await target.count("deal:*")) < MANY
        await export_entries(source, folder / "export")
        with pytest.raises(StoreUnavailableError, match=words):
            await import_entries(target, folder / "export", existing="keep")
        assert await target.count("deal:*") >= stored
        await room()
        done = await copy_entries(source, target, checkpoint=folder / "copy.json", resume=True)
        assert done.verified.faults == done.refused == 0
        assert (await import_entries(target, folder / "export", existing="keep")).kept == MANY
        assert await target.count() == MANY


async def test_a_redis_without_memory(own_redis: RedisServer, tmp_path: Path) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used + 2_500_000)

        async def room() -> None:
            client.config_set("maxmemory", 0)

        await check_copy_and_import(RedisBackend(own_redis.url), tmp_path, "out of memory and wrote nothing", room)


async def test_a_redis_with_a_full_disk(
    own_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_LEASE_TTL", 2)
    target = RedisBackend(own_redis.url)
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("appendfsync", "no")  # "everysec" writes nothing for 2 s while a sync is under way

    async def room() -> None:
        limit_files(own_redis)
        await accepted(lambda: target.set("room", 1))
        await target.delete("room")

    limit_files(own_redis, end_of_log(own_redis) + 1_000_000)
    await check_copy_and_import(target, tmp_path, "MISCONF.*wrote nothing. Is its disk full", room)


async def test_a_redis_that_ends_for_want_of_room(
    own_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said to be away, though the lease of the copy ends before the copy's patience does."""
    monkeypatch.setattr(copying, "_LEASE_TTL", 2)
    async with MemoryBackend() as source, RedisBackend(own_redis.url, timeout=1) as target:
        await fill(source)
        limit_files(own_redis, end_of_log(own_redis) + 1_000_000)
        gone = r"lease:\{copy\}.*(cannot be reached|sent but not confirmed)"  # it may end in the midst of a renewal
        with pytest.raises((StorageConnectionError, UnknownOutcomeError), match=gone):
            await copy_entries(source, target, checkpoint=tmp_path / "copy.json")
        own_redis.restart()
        done = await copy_entries(source, target, checkpoint=tmp_path / "copy.json", resume=True)
        assert (done.verified.faults, await target.count()) == (0, MANY)


async def test_a_postgres_whose_table_cannot_grow(own_postgres: PostgresServer, tmp_path: Path) -> None:
    async def room() -> None:
        limit_files(own_postgres)

    target = PostgresBackend(own_postgres.url())
    async with target:
        limit_files(own_postgres, LOG_SEGMENT)
    await check_copy_and_import(target, tmp_path, "could not extend file", room, size=4_000)


async def test_a_checkpoint_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older one is kept, and the copy goes on from there."""
    monkeypatch.setattr(checkpoints, "_INTERVAL", 0)
    file = tmp_path / "copy.json"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with MemoryBackend() as source, MemoryBackend() as target:
        await fill(source)
        with small_files(0), pytest.raises(StoreUnavailableError, match="Nothing of it was left there"):
            await copy_entries(source, target, checkpoint=file)
        assert (list(tmp_path.iterdir()), await target.keys()) == ([], [])

        def fills(seen: int) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))

        with (
            small_files(before[0]),
            pytest.raises(StoreUnavailableError, match="before is as it was"),
        ):
            await copy_entries(source, target, checkpoint=file, progress=fills)
        assert list(tmp_path.iterdir()) == [file]
        assert json.loads(file.read_bytes())["after"] == "deal:01999"
        done = await copy_entries(source, target, checkpoint=file, resume=True)
        assert done.verified.faults == 0
        assert done.seen == MANY - 2_000
        assert await target.count() == MANY


def test_a_sqlite_file_that_cannot_be_opened_for_want_of_room(tmp_path: Path) -> None:
    """SQLite itself says nothing but "disk I/O error"."""
    store = SQLiteBackend(str(tmp_path / "store.db"))
    with small_files(0), pytest.raises(StoreUnavailableError, match="disk is full, its quota is used up"):
        asyncio.run(store.connect())
