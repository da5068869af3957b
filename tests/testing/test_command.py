"""`ad-seller-storage conform`: what it prints, refuses and leaves alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import redis

from ad_seller.storage import open_url
from tests.cli.support import assert_explained, fill, run
from tests.cli.test_terminal import ESCAPE, at_terminal, plain
from tests.docs_samples import ROOT

HERE = "tests.testing.backends"


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of the tests are found in the current directory; nothing else decides what happens."""
    monkeypatch.chdir(ROOT)
    for name in ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def keys_of(url: str) -> list[str]:
    async def read() -> list[str]:
        async with open_url(url) as backend:
            return await backend.keys()

    return asyncio.run(read())


class TestReport:
    def test_table_by_section_and_level(self) -> None:
        done = run("conform", "sqlite:///{folder}/store.db", "--level", "core", "--level", "durable")
        assert (done.returncode, done.stderr) == (0, "")
        lines = [line.split() for line in done.stdout.splitlines()]
        assert lines[0] == ["section", "level", "checks", "passed", "skipped", "result"]
        assert ["The", "interface", "core", "5", "5", "0", "passed"] in lines
        assert any(line[:1] == ["Durability"] and line[-1] == "passed" for line in lines)
        assert lines[-1][0] == "SQLiteBackend:"

    def test_failures_are_shown_without_passwords(self) -> None:
        done = run("conform", f"{HERE}:Failing", "--check", "missing_entry", "--check", "arguments_can_be_named")
        assert (done.returncode, done.stderr) == (1, "")
        assert "failed: missing_entry (core; The interface)" in done.stdout
        assert "cannot ask redis://***@host/0" in done.stdout
        assert "hunter2" not in done.stdout
        assert done.stdout.endswith("Failing: 1 of 2 checks passed, 1 failed.\n")

    def test_json_for_programs(self) -> None:
        done = run("conform", f"{HERE}:Failing", "--json", "--check", "missing_entry")
        assert done.returncode == 1
        data = json.loads(done.stdout)
        assert (data["backend"], data["passed"], data["planned"]) == ("Failing", False, 1)
        assert data["capabilities"]["atomic"] == "store"
        assert data["checks"][0]["outcome"] == "failed"
        assert "hunter2" not in done.stdout

    def test_markdown_for_a_page(self) -> None:
        done = run("conform", "memory://", "--markdown", "--level", "processes")
        assert done.returncode == 0
        assert done.stdout.startswith("![storage contract: ")
        assert "| Changes that nobody loses | processes | 2 | 0 | not declared |" in done.stdout

    def test_terminal_gets_colours_and_a_progress_bar(self) -> None:
        code, text = at_terminal("conform", "memory://", "--level", "core")
        assert code == 0
        assert "Checking" in text
        assert ESCAPE in text
        assert "MemoryBackend: 17 of 17 checks passed." in plain(text)
        _, text = at_terminal("conform", "memory://", "--check", "missing_entry", env={"NO_COLOR": "1"})
        assert "\x1b[32m" not in text


class TestStore:
    def test_a_store_with_entries_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/store.db"
        fill(url, {"deal:1": {"n": 1}})
        assert_explained(run("conform", url, "--level", "core"), 2, "not empty", "1 keys", "--erase-store")
        assert keys_of(url) == ["deal:1"]

    def test_it_may_be_erased_and_is_left_empty(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/store.db"
        fill(url, {"deal:1": {"n": 1}})
        done = run("conform", "--url", url, "--erase-store", "--level", "batch_and_scan")
        assert done.returncode == 0, done.stdout
        assert keys_of(url) == []

    @pytest.mark.timeout(600)
    def test_redis_gets_keys_of_its_own(self, redis_url: str, redis_prefix: str) -> None:
        with redis.Redis.from_url(redis_url) as client:
            client.set(f"{redis_prefix}mine", "1")
            levels = ("expiry", "processes", "durable")  # what ends by itself, and processes that are killed
            done = run(
                "conform", redis_url, *(word for level in levels for word in ("--level", level)), timeout=500
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert client.get(f"{redis_prefix}mine") == b"1"
            assert list(client.scan_iter("{conform-*")) == [], "nothing stays"

    def test_postgres_is_used_one_check_after_the_other(self, postgres_url: str) -> None:
        checks = ["corrupt_bytes_are_an_error_that_names_the_key", "pages_hold_every_entry_once_in_order"]
        done = run("conform", postgres_url, "--json", *(word for check in checks for word in ("--check", check)))
        assert done.returncode == 0, done.stdout + done.stderr
        left_out = [check["message"] for check in json.loads(done.stdout)["checks"] if check["outcome"] != "passed"]
        assert left_out == ["offers no store_raw for bytes that are no UTF-8"]
        assert keys_of(postgres_url) == []


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            ([], 2, ["nothing to test", "hint: Name a URL or module:Class"]),
            (["nowhere:X"], 2, ["no module 'nowhere'"]),
            ([f"{HERE}:Exploding"], 2, ["ZeroDivisionError: no backend today"]),
            ([f"{HERE}:Unreachable"], 3, ["No server answers at amqp://***@host"]),
            ([f"{HERE}:Silent"], 3, ["Silent: TimeoutError: it did not connect"]),
            (["redis://:hunter2@127.0.0.1:1/0"], 3, ["127.0.0.1:1"]),
            (["memory://", "--check", "no_such_check"], 2, ["No check has such a name"]),
        ],
        ids=["nothing", "no module", "raises", "unreachable", "silent", "no Redis", "no check"],
    )
    def test_is_explained(self, arguments: list[str], code: int, words: list[str]) -> None:
        done = run("conform", *arguments)
        assert_explained(done, code, "error: ", *words)
        assert "hunter2" not in done.stderr

    def test_level_must_exist(self) -> None:
        done = run("conform", "memory://", "--level", "everything")
        assert done.returncode == 2
        assert "batch_and_scan" in done.stderr

    def test_the_extra_is_named_where_it_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text(
            "import importlib.util as u\nf = u.find_spec\n"
            "u.find_spec = lambda name, *a: None if name == 'anyio' else f(name, *a)\n"
        )
        done = run("conform", "memory://", env={"PYTHONPATH": str(tmp_path)})
        assert_explained(done, 2, "needs anyio", "pip install 'ad-seller-storage[testing]'")


class TestHangAndCrash:
    def test_a_backend_that_ends_the_process_has_failed(self) -> None:
        done = run("conform", f"{HERE}:Dying", "--check", "create_does_not_replace", "--check", "missing_entry")
        assert done.returncode == 1
        assert "create_does_not_replace" in done.stdout
        assert "exit code 7" in done.stdout
