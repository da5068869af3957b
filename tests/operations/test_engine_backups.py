"""What `docs/backup.md` says for servers: copies made by their own tools while agents write, and started again."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from ad_seller.storage import StorageBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer
from tests.operations.jobs import filled
from tests.postgres.support import sql

BEFORE = 2_000


@asynccontextmanager
async def written_to(store: StorageBackend) -> AsyncIterator[list[str]]:
    """Have four tasks write while the block runs; yield the keys of what was acknowledged."""
    acknowledged: list[str] = []
    enough, stop = asyncio.Event(), asyncio.Event()

    async def write(task: int) -> None:
        while not stop.is_set():
            key = f"order:{task}:{len(acknowledged):06}"
            await store.set(key, {"key": key})
            acknowledged.append(key)
            if len(acknowledged) == 100:
                enough.set()

    tasks = [asyncio.create_task(write(task)) for task in range(4)]
    await enough.wait()
    try:
        yield acknowledged
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def check(store: StorageBackend, acknowledged: list[str]) -> None:
    """Check that what was acknowledged is there, whole, is listed and found, and that the store takes more."""
    assert await store.count("deal:*") == BEFORE
    orders = dict((await store.scan("order:*")).items)
    assert set(acknowledged) <= orders.keys()
    assert all(value == {"key": key} for key, value in orders.items())
    assert len((await store.find("order", {"key": acknowledged[0]})).items) == 1
    await store.set("order:new", {})
    assert await store.delete_many(acknowledged) == len(acknowledged)


async def test_pg_basebackup_and_pg_dump(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with PostgresServer() as server:
        data, base, dump = server.folder / "data", server.folder / "base", tmp_path / "seller.dump"
        async with PostgresBackend(server.url()) as store:
            await filled(store, BEFORE)
            async with written_to(store) as acknowledged:
                before = list(acknowledged)
                to_base = [f"--pgdata={base}", "--wal-method=stream", "--checkpoint=fast"]
                await run(server, "pg_basebackup", *to_base, f"--dbname={server.url()}", **server._as_server())
                await run(server, "pg_dump", "--format=custom", f"--file={dump}", server.url())
        await sql(server.url(), "CREATE DATABASE restored")
        await run(server, "pg_restore", "--no-owner", f"--dbname={server.url('restored')}", str(dump))
        caplog.clear()
        async with PostgresBackend(server.url("restored")) as store:
            await check(store, before)
        server.kill()
        shutil.rmtree(data)
        base.rename(data)
        server.start()
        async with PostgresBackend(server.url()) as store:
            await check(store, before)
        assert "made anew" not in caplog.text  # the functions are in both


async def run(server: PostgresServer, program: str, *arguments: str, **how: Any) -> None:
    command = [str(server._bin / program), *arguments]
    ended = await asyncio.to_thread(lambda: subprocess.run(command, capture_output=True, text=True, **how))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("persistence", [{"appendonly": "yes", "appendfsync": "always"}, {}])
async def test_redis_on_a_copy_of_its_files(tmp_path: Path, persistence: dict[str, str]) -> None:
    with RedisServer(tmp_path / "one", config=persistence) as server:
        async with RedisBackend(server.url) as store:
            await filled(store, BEFORE)
            async with written_to(store) as acknowledged:
                before = list(acknowledged)
                if not persistence:
                    await asyncio.to_thread(save, server)
                copied = [copy_of(path, tmp_path / "two") for path in server.directory.glob("*") if is_kept(path)]
    assert copied
    with RedisServer(tmp_path / "two", config=persistence) as server:
        async with RedisBackend(server.url) as store:
            await check(store, before)


def is_kept(path: Path) -> bool:
    """Tell whether a server begins with this file or folder; the second one is that of Redis before 7."""
    return path.name in ("appendonlydir", "appendonly.aof", "dump.rdb")


def copy_of(source: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    target = folder / source.name
    return Path(shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target))


def save(server: RedisServer) -> None:
    """Have a snapshot made beside the work, and wait until it is there."""
    with redis.Redis.from_url(server.url) as client:
        client.bgsave()
        while client.info("persistence")["rdb_bgsave_in_progress"]:
            time.sleep(0.01)
        assert client.info("persistence")["rdb_last_bgsave_status"] == "ok"
