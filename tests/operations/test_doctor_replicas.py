"""What the doctor says of replicas that stand still, and of slots that nobody fetches from; on real servers."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from ad_seller.storage import StorageBackend
from ad_seller.storage.operations import examine
from ad_seller.storage.operations.doctor import engines
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis.facts import followers, parse_info
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.runtime.connected import ConnectedBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisBinary, RedisServer
from tests.operations.test_doctor import said
from tests.postgres.support import sql

MEBIBYTE = 1024 * 1024


Answer = TypeVar("Answer")


async def eventually(ask: Callable[[], Awaitable[Answer | None]]) -> Answer:
    """Ask until there is an answer."""
    for _ in range(300):
        if answer := await ask():
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError("no answer for 30 s")


async def finding(store: StorageBackend, rule: str) -> str:
    """Return such a finding of the doctor, as soon as there is one."""

    async def ask() -> str | None:
        return said(await examine(store, data=False)).get(rule)

    return await eventually(ask)


async def follower_of(store: StorageBackend) -> dict[str, Any]:
    """Return what is known of the replica, as soon as there is one that has everything."""

    async def ask() -> dict[str, Any] | None:
        assert isinstance(store, ConnectedBackend)
        found = (await store.facts())["followers"]
        return found[0] if found and found[0]["behind"] < MEBIBYTE else None

    return await eventually(ask)


def test_a_replica_that_does_not_say_where_it_is() -> None:
    told = parse_info(b"master_repl_offset:99999999\r\nslave0:ip=10.0.0.2,port=6379,state=stable_sync,lag=3\r\n")
    assert followers(told) == [{"name": "The replica 10.0.0.2:6379", "behind": 0, "late": 3.0}]


async def test_a_replica_of_redis(
    redis_binary: RedisBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        RedisServer(tmp_path / "one", binary=redis_binary) as server,
        RedisServer(tmp_path / "two", binary=redis_binary) as other,
    ):
        with redis.Redis.from_url(other.url) as client:
            client.replicaof("127.0.0.1", str(server.port))
        async with RedisBackend(server.url) as store:
            one = await follower_of(store)
            assert one["name"] == f"The replica 127.0.0.1:{other.port}"
            assert one["late"] < engines._SILENT
            assert "replica-lags" not in said(await examine(store, data=False))
            other.freeze()
            try:
                with monkeypatch.context() as patch:
                    patch.setattr(engines, "_SILENT", 1.0)
                    assert (await finding(store, "replica-lags")).startswith(f"{one['name']} is ")
                with monkeypatch.context() as patch:
                    patch.setattr(engines, "_BEHIND", MEBIBYTE)
                    patch.setattr(engines, "_SILENT", 600.0)  # however slow the machine is
                    await store.set("x", "x" * 3 * MEBIBYTE)
                    assert await finding(store, "replica-lags") == f"{one['name']} is 3 MiB behind"
            finally:
                other.thaw()


@asynccontextmanager
async def follower(server: PostgresServer, folder: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Let something fetch the log of the server by a slot, as a replica does."""
    await sql(server.url(), "SELECT pg_create_physical_replication_slot('spare', true)")
    program = [str(server._bin / "pg_receivewal"), f"--directory={folder}", "--slot=spare", "--synchronous"]
    with subprocess.Popen([*program, f"--dbname={server.url()}"], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_follower_of_postgres_and_its_slot(
    own_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with PostgresBackend(own_postgres.url()) as store:
        async with follower(own_postgres, tmp_path) as process:
            assert (await follower_of(store))["name"] == "The replica pg_receivewal 127.0.0.1"
            assert not {"replica-lags", "slot-idle"} & said(await examine(store, data=False)).keys()
            process.send_signal(signal.SIGSTOP)
            with monkeypatch.context() as patch:
                patch.setattr(engines, "_SILENT", 2.0)
                assert (await finding(store, "replica-lags")).startswith("The replica pg_receivewal 127.0.0.1 is ")
            with monkeypatch.context() as patch:
                patch.setattr(engines, "_BEHIND", MEBIBYTE)
                patch.setattr(engines, "_SILENT", 600.0)
                await sql(own_postgres.url(), "SELECT pg_logical_emit_message(false, 'x', repeat('x', 3000000))")
                assert (await finding(store, "replica-lags")).endswith(" MiB behind")
        monkeypatch.setattr(engines, "_BEHIND", MEBIBYTE)
        assert (await finding(store, "slot-idle")).startswith("The slot 'spare' is idle and keeps ")


class Standby(PostgresServer):
    """A hot standby, which replays what it gets from another server."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__(binaries=primary.binaries)
        self._primary = primary

    def _initialise(self, secret: Path) -> None:
        source = ("--checkpoint=fast", "--no-sync", "--write-recovery-conf", f"--dbname={self._primary.url()}")
        command = [str(self._bin / "pg_basebackup"), f"--pgdata={self.folder / 'data'}", *source]
        subprocess.run(command, check=True, capture_output=True, **self._as_server())


async def test_a_standby_of_postgres(own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets all, and does not replay it: the primary tells how much, and for how long."""
    own_postgres.start()
    with Standby(own_postgres) as standby:
        standby.start()
        async with PostgresBackend(own_postgres.url()) as store:
            name = (await follower_of(store))["name"]
            assert name == "The replica walreceiver 127.0.0.1"
            assert not {"replica", "replica-lags"} & said(await examine(store, data=False)).keys()
            async with PostgresBackend(standby.url(), create=False, sweep_interval=None) as copy:
                await finding(copy, "replica")
            await sql(standby.url(), "SELECT pg_wal_replay_pause()")
            await sql(own_postgres.url(), "SELECT pg_logical_emit_message(false, 'x', repeat('x', 3000000))")
            with monkeypatch.context() as patch:
                patch.setattr(engines, "_BEHIND", MEBIBYTE)
                assert (await finding(store, "replica-lags")).endswith(" MiB behind")
            with monkeypatch.context() as patch:
                patch.setattr(engines, "_SILENT", 1.5)
                assert re.fullmatch(rf"{name} is \d+ s late", await finding(store, "replica-lags"))
            await sql(standby.url(), "SELECT pg_wal_replay_resume()")
            assert (await follower_of(store))["behind"] < MEBIBYTE
