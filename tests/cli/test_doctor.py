"""doctor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ad_seller.storage.cli.app import app
from tests.cli.conftest import Invoke
from tests.cli.support import fill
from tests.cli.test_repair import damage


def test_doctor(invoke: Invoke, url: str, directory: Path) -> None:
    quiet = ("--ignore", "sqlite-wal-reset", "--ignore", "disk-nearly-full")
    fill(url, {"deal:1": {}, "agent_url_index:u": "gone", "damaged:x": 1})
    assert invoke("doctor", "--no-data", *quiet).exit_code == 0
    damage(directory, "deal:1", '{"cpm": NaN}')
    looked = invoke("doctor", *quiet)
    assert (looked.exit_code, looked.stderr) == (1, "1 error, 1 warning, 1 note\n")
    first = looked.stdout.splitlines()[:3]
    assert first == ["error: value-unreadable", "  Values under deal: that cannot be read: 1", "    deal:1"]
    assert "  Next: `doctor --fix`" in looked.stdout
    assert "fix:" not in looked.stdout
    answer = json.loads(invoke("doctor", "--json", *quiet).stdout)
    assert [each["rule"] for each in answer["findings"]] == ["value-unreadable", "index-dangling", "set-aside"]
    assert answer["fixed"] == []

    done = invoke("doctor", "--fix", *quiet).stdout.splitlines()[-2:]
    assert done == [
        "fix: Move deal:1 to damaged:deal:1: NaN is not JSON ... set aside: damaged:deal:1",
        "fix: Delete agent_url_index:u: agent:gone is gone ... deleted",
    ]
    assert invoke("doctor", *quiet).exit_code == 0


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_store_that_is_not_there(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("doctor")
    assert (done.exit_code, "error: store-missing" in done.stdout) == (3, True)
    assert "Start the server" not in done.stdout
    assert list(directory.iterdir()) == []  # looking makes none
    (directory / "ad_seller.db").write_text("This is no database.")
    done = run("doctor")
    assert (done.exit_code, "error: store-refused" in done.stdout) == (3, True)
    monkeypatch.setenv("STORAGE_TYPE", "redis")
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@127.0.0.1:1/0")
    done = run("doctor", "--json")
    assert done.exit_code == 3
    assert [each["rule"] for each in json.loads(done.stdout)["findings"]] == ["unreachable"]
    assert "s3cret" not in done.stdout + done.stderr
    monkeypatch.setenv("STORAGE_TYPE", "rediss")
    done = run("doctor")
    assert (done.exit_code, "error: configuration-refused" in done.stdout) == (1, True)
    assert run("doctor", "--ignore", "sqlite").exit_code == 2


def test_files(directory: Path) -> None:
    (directory / "infra").mkdir()
    compose = directory / "infra" / "compose.yml"
    compose.write_text("command: redis-server --maxmemory-policy allkeys-lru\n")
    done = run("doctor", "infra")
    assert (done.exit_code, done.stderr) == (1, "1 error, 0 warnings, 0 notes\n")
    assert "  maxmemory-policy allkeys-lru  [infra/compose.yml:1]\n" in done.stdout
    compose.write_text("command: redis-server\n")
    assert run("doctor", "infra/compose.yml").exit_code == 0
    done = run("doctor", "nowhere")
    assert (done.exit_code, "no file or folder 'nowhere'" in done.stderr) == (2, True)
