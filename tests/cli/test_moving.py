"""copy and verify."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ad_seller.storage.cli.app import app
from tests.cli.support import assert_explained, fill
from tests.cli.test_terminal import at_terminal, plain
from tests.operations.jobs import HALF_WAY, MANY
from tests.processes import started_job


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command inside the test."""
    done = CliRunner().invoke(app, arguments)
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def test_copy_and_verify(url: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(url, {f"deal:{n}": {"n": n} for n in range(30)} | {"quote:1": 1})
    done = run("copy", url, "b.db")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "31 entries stored, 0 removed, 0 refused.",
        "31 entries compared, 0 differ.",
    ]
    again = run("copy", url, "b.db")
    assert_explained(again, 2, "was done", "--again")
    assert_explained(run("copy", url, "b.db", "--checkpoint", "other"), 2, "not empty", "--keep or --replace")
    assert_explained(run("copy", url, "c.db"), 2, "another copy")
    assert_explained(run("copy", url, url), 2, "one store")
    assert_explained(run("copy", "no.db", "c.db"), 1, "no.db")

    fill(url, {"deal:1": "changed", "a": 1})
    fill("b.db", {"more": 1})
    found = run("verify", url, "b.db")
    assert (found.returncode, found.stderr) == (4, "32 entries compared, 3 differ.\n")
    assert found.stdout.splitlines() == ["missing in TO\ta", "other value\tdeal:1", "only in TO\tmore"]
    facts = json.loads(run("verify", url, "b.db", "--json").stdout)
    assert facts["differences"]["value"] == {"count": 1, "keys": ["deal:1"]}
    assert run("copy", url, "b.db", "--again", "--json").stdout.startswith('{"stored":2,"deleted":1,')
    monkeypatch.setenv("DATABASE_URL", url)
    assert run("verify", "-", "b.db").returncode == 0


def test_no_store_is_made_for_a_copy_that_is_refused(url: str, directory: Path) -> None:
    fill(url, {"deal:1": 1})
    assert run("copy", url, "b.db").returncode == 0
    for words in (
        [], ["--resume", "--checkpoint", "none"], ["--checkpoint", url[10:]], ["--checkpoint", "none/x"],
        ["--resume", "--again"], ["--keep", "--replace"],
    ):  # fmt: skip
        assert_explained(run("copy", url, "new.db", *words), 2)
    assert not list(directory.glob("new.db*"))
    dry = run("copy", url, "new.db", "--dry-run", "--checkpoint", "none")
    assert (dry.returncode, dry.stdout) == (4, "missing in TO\tdeal:1\n")
    assert dry.stderr.startswith("TO is not there yet")
    assert not list(directory.glob("n*"))


def test_one_store_by_two_names_is_not_copied_into_itself(url: str, redis_url: str, directory: Path) -> None:
    fill(url, {"deal:1": 1})
    (directory / "link.db").symlink_to("store.db")
    (directory / "sub").mkdir()
    for name in ("store.db", "link.db", "sub/../store.db"):
        for words in ([], ["--replace"]):
            assert_explained(run("copy", url, name, *words), 2, "are one store")
    other = redis_url.replace("127.0.0.1", "localhost")
    assert other != redis_url
    assert "are one store" in run("copy", redis_url, other, "--keep").stderr
    assert not Path("ad-seller-copy.json").exists()
    assert run("--url", url, "keys").stdout == "deal:1\n"


def test_a_move_that_is_finished_is_not_gone_on_with(url: str, directory: Path) -> None:
    """After the switch the target is written to: to follow the old store would overwrite that."""
    fill(url, {"deal:1": {"status": "active"}})
    assert run("copy", url, "b.db").returncode == 0
    last = run("copy", url, "b.db", "--again", "--final")
    assert (last.returncode, last.stderr.splitlines()[-1]) == (
        0, "The move is finished: start what used FROM with the settings of TO.",
    )  # fmt: skip
    newer = {"deal:1": {"status": "booked"}, "deal:2": {"status": "active"}}
    fill("b.db", newer)
    for words in (["--again"], ["--again", "--final"], []):
        assert_explained(run("copy", url, "b.db", *words), 2, "finished at 2")
    assert_explained(run("copy", url, "b.db", "--again"), 2, "verify", "--force")
    assert_explained(
        run("copy", url, "b.db", "--replace"), 2, "begun into an empty target", "Leave `--replace` out"
    )
    assert run("copy", url, "b.db", "--resume").returncode == 4  # it only compares
    listed = json.loads(run("--url", "sqlite:///./b.db", "list", "deal:*", "--json").stdout)["items"]
    assert {each["key"]: each["value"] for each in listed} == newer
    assert run("copy", url, "b.db", "--again", "--force").returncode == 0
    assert run("--url", "sqlite:///./b.db", "keys").stdout == "deal:1\n"
    assert run("copy", url, "b.db", "--again").returncode == 0  # it was taken up again
    assert_explained(run("copy", url, "b.db", "--final", "--dry-run"), 2, "dry run")


def test_a_move_that_is_not_finished_says_what_is_to_be_done(directory: Path, postgres_url: str) -> None:
    """Nobody needs to be stopped where the target does not take an entry."""
    fill("a.db", {"deal:1": 1, "deal:2": 2})
    with closing(sqlite3.connect("a.db")) as db:
        db.execute("UPDATE kv_store SET value = CAST(x'22610062' AS TEXT) WHERE key = 'deal:1'")
        db.commit()
    assert run("copy", "a.db", postgres_url).returncode == 4
    last = run("copy", "a.db", postgres_url, "--again", "--final", "--json")
    assert last.stderr.splitlines()[-1] == (
        "The move is not finished: change or delete in FROM what TO refuses, and run this again."
    )
    told = json.loads(last.stdout)
    assert (last.returncode, told["refused"], told["differences"]["missing"]["keys"]) == (4, 1, ["deal:1"])
    with closing(sqlite3.connect("a.db")) as db:
        db.execute("DELETE FROM kv_store WHERE key = 'deal:1'")
        db.commit()
    assert run("copy", "a.db", postgres_url, "--again", "--final").returncode == 0


def test_all_of_many_differences_are_counted(url: str, directory: Path) -> None:
    fill(url, {f"deal:{n:03}": n for n in range(50)})
    fill("b.db", {"x": 1})
    found = run("copy", url, "b.db", "--dry-run", "--prefix", "deal:")
    assert len(found.stdout.splitlines()) == 20
    assert "... and 30 more: missing in TO" in found.stderr
    assert not Path("ad-seller-copy.json").exists()


def test_progress_is_shown_at_a_terminal(url: str, directory: Path) -> None:
    fill(url, {f"deal:{n}": n for n in range(2_500)})
    code, text = at_terminal("copy", url, "b.db")
    assert code == 0
    assert "of 2,500" in text
    assert "2,500 entries stored" in plain(text)


@pytest.mark.parametrize(
    ("stop", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)],
)
def test_stopped_and_resumed(directory: Path, stop: signal.Signals, code: int) -> None:
    fill("a.db", {f"deal:{n:06}": {"n": n} for n in range(MANY)})
    names = [str(directory / name) for name in ("a.db", "b.db", "ad-seller-copy.json")]
    with started_job("tests.operations.jobs", "command", "copy", *names[:2], "--checkpoint", names[2]) as job:
        assert job.stderr is not None
        assert job.stderr.readline() == HALF_WAY
        job.send_signal(stop)
        out, said = job.communicate(timeout=60)
    assert (job.returncode, out) == (code, "")
    assert not any(key.startswith("lease:") for key in run("--url", names[1], "keys").stdout.splitlines())
    assert "--resume" in said
    done = run("copy", *names[:2], "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["stored"] < MANY
