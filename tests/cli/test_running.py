"""What surrounds every command: the store, exit codes, streams, pipes and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import ad_seller.storage
from ad_seller.storage import CheckpointError, DamagedExportError, MissingDependencyError, StorageError
from ad_seller.storage.cli.running import diagnose
from ad_seller.storage.testing.servers import RedisBinary, RedisServer
from tests import warm
from tests.cli.support import COMMAND, assert_explained, fill, run, wait_until_it_reads

PASSWORD = "geheim-4711"


class TestStore:
    def test_from_the_url_before_or_after_the_command(self, url: str) -> None:
        assert run("--url", url, "set", "a", "1").returncode == 0
        assert run("get", "a", "--url", url).stdout == "1\n"
        assert run("--url", "memory://", "get", "a", "--url", url).stdout == "1\n"

    def test_a_plain_path(self, directory: Path) -> None:
        assert run("set", "a", "1", "--url", "plain.db").returncode == 0
        assert (directory / "plain.db").is_file()

    def test_from_the_environment(self, directory: Path) -> None:
        env = {"DATABASE_URL": "sqlite:///./named.db"}
        assert run("set", "a", "1", env=env).returncode == 0
        assert (directory / "named.db").is_file()
        assert run("get", "a", env={"STORAGE_TYPE": "memory"}).returncode == 1

    def test_from_a_dotenv_file(self, directory: Path) -> None:
        (directory / ".env").write_text("DATABASE_URL=sqlite:///./dotenv.db\n")
        assert run("set", "a", "1").returncode == 0
        assert (directory / "dotenv.db").is_file()

    def test_redis(self, redis_binary: RedisBinary, tmp_path: Path) -> None:
        with RedisServer(tmp_path / "redis", binary=redis_binary, password=PASSWORD) as server:
            env = {"STORAGE_TYPE": "redis", "REDIS_URL": server.url}
            assert run("set", "quote:1", '{"a": 1.0}', "--ttl", "60", env=env).returncode == 0
            assert run("list", "quotes", env=env).stdout == 'quote:1\t{"a":1.0}\n'
            assert 50 < float(run("ttl", "quote:1", "--url", server.url).stdout) <= 60
            assert run("delete", "quote:1", env=env).stdout == "quote:1\n"


class TestExitCodes:
    def test_found_and_not_found(self, url: str) -> None:
        assert run("exists", "a", "--url", url).returncode == 1
        assert run("set", "a", "1", "--url", url).returncode == 0
        assert run("exists", "a", "--url", url).returncode == 0

    @pytest.mark.parametrize(
        "arguments", [["fetch", "a"], ["get"], ["get", "a", "b"], ["get", "a", "--bogus"], ["list", "--limit"]]
    )
    def test_wrong_usage(self, arguments: list[str]) -> None:
        assert_explained(run("--url", "memory://", *arguments), 2, "Error")

    @pytest.mark.parametrize("url", ["postgresql+x://u:geheim-4711@h/d", "http://u:geheim-4711@h"])
    def test_a_url_that_fits_no_store(self, url: str) -> None:
        done = run("get", "a", "--url", url)
        assert_explained(done, 2, "error: ", "hint: ", "--url sqlite:///")
        assert PASSWORD not in done.stderr

    def test_an_unknown_type(self) -> None:
        assert_explained(run("get", "a", env={"STORAGE_TYPE": "oracle"}), 2, "Unknown storage type", "hint: ")

    def test_no_server(self) -> None:
        done = run("get", "a", "--url", f"redis://user:{PASSWORD}@127.0.0.1:1/0")
        assert_explained(done, 3, "error: ", "hint: ", "127.0.0.1:1")
        assert PASSWORD not in done.stderr

    def test_a_wrong_password(self, redis_binary: RedisBinary, tmp_path: Path) -> None:
        with RedisServer(tmp_path / "redis", binary=redis_binary, password="other") as server:
            done = run("get", "a", "--url", f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0")
        assert_explained(done, 3, "error: ", "hint: ")
        assert PASSWORD not in done.stderr

    def test_a_frozen_server(self, own_redis: RedisServer) -> None:
        own_redis.freeze()
        before = time.monotonic()
        assert_explained(run("get", "a", "--url", own_redis.url), 3, "error: ", "hint: ")
        assert time.monotonic() - before < 30  # it ends by itself

    def test_a_directory_and_a_file_that_is_no_database(self, directory: Path) -> None:
        assert_explained(run("get", "a", "--url", str(directory)), 3, "directory", "hint: ")
        (directory / "text.db").write_text("no database, " * 100)
        assert_explained(run("get", "a", "--url", "text.db"), 3, "error: ", "hint: ")

    def test_as_json(self, directory: Path) -> None:
        """For programs it is one object on the last line of standard error; nothing is data that is none."""
        url = f"redis://user:{PASSWORD}@127.0.0.1:1/0"
        for code, arguments in (
            (1, ["--url", "no.db", "count", "--json"]),
            (2, ["--json", "--url", "memory://", "hold", "a"]),
            (2, ["copy", "no.db", "no.db", "--keep", "--replace", "--json"]),
            (2, ["--url", "no.db", "demo", "--json"]),
            (2, ["conform", "--json"]),
            (2, ["adopt", ".", "--apply", "--undo", "--json"]),
            (4, ["backup", "b.db", "--json", "--url", "memory://"]),
            (3, ["get", "a", "--json", "--url", url]),
        ):
            done = run(*arguments)
            said = json.loads(done.stderr.splitlines()[-1])
            assert (done.returncode, done.stdout, said["exit_code"]) == (code, "", code), arguments
            assert said["error"], arguments
            assert said["hint"], arguments
            assert PASSWORD not in done.stderr

    def test_whatever_goes_wrong_has_a_next_step(self) -> None:
        says_it_itself = (MissingDependencyError, CheckpointError, DamagedExportError)
        kinds = [kind for kind in vars(ad_seller.storage).values() if isinstance(kind, type)]
        errors = [kind for kind in kinds if issubclass(kind, StorageError) and kind not in says_it_itself]
        assert len(errors) > 25
        assert [kind for kind in errors if not diagnose(kind.__new__(kind))[1]] == []

    def test_a_directory_that_is_not_there(self, directory: Path) -> None:
        done = run("get", "a", "--url", f"{directory}/nowhere/a.db")
        assert_explained(done, 1, "error: ", "not found", "hint: ")


class TestStreams:
    def test_json_is_all_there_is_on_standard_output(self, url: str) -> None:
        fill(url, {"order:1": {"a": 1}, "order:2": [2]})
        commands = {
            ("get", "order:1"): {"a": 1},
            ("set", "order:3", "3"): {"order:3": True},
            ("exists", "order:1"): {"order:1": True},
            ("ttl", "order:1"): None,
            ("keys", "order:[12]"): ["order:1", "order:2"],
            ("count", "order:[12]"): 2,
            ("list", "order:[12]", "--limit", "1"): ...,
            ("delete", "order:3"): {"order:3": True},
        }
        for arguments, expected in commands.items():
            done = run(*arguments, "--json", "--url", url)
            assert (done.returncode, done.stderr) == (0, "")
            assert expected is ... or json.loads(done.stdout) == expected

    def test_values_are_utf8_in_every_locale(self, url: str) -> None:
        env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        fill(url, {"a": "Ä €"})
        assert run("get", "a", "--url", url, env=env).stdout == '"Ä €"\n'

    def test_a_reader_that_leaves_ends_it_quietly(self, url: str) -> None:
        fill(url, {f"event:{n:06}": "x" * 50 for n in range(20_000)})
        for arguments in (["keys"], ["keys", "--json"], ["list", "event:*"], ["list", "event:*", "--json"]):
            with warm.Popen(
                [*COMMAND, *arguments, "--url", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                process.stdout.readline()
                process.stdout.close()
                assert process.stderr.read() == b""
            assert process.returncode == 141

    def test_a_reader_that_was_never_there(self, url: str) -> None:
        fill(url, {"a": 1})
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([*COMMAND, "get", "a", "--url", url], stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, b"")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
    def test_a_full_disk_is_said(self, url: str) -> None:
        fill(url, {"a": 1})
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run([*COMMAND, "get", "a", "--url", url], stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 4
        assert b"No space left" in done.stderr
        assert b"Traceback" not in done.stderr


class TestInterruption:
    @pytest.mark.parametrize("arguments", [["set", "a", "-"], ["replay", "-"]])
    def test_while_it_waits_for_input(self, url: str, arguments: list[str]) -> None:
        with warm.Popen(
            [*COMMAND, *arguments, "--url", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(b" " * 1_000_000)  # more than a pipe holds: when this returns, it is reading
            process.stdin.flush()
            wait_until_it_reads(process)  # a signal that comes between two reads does not end the second one
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == b"error: Interrupted.\n"
        assert process.returncode == 130
