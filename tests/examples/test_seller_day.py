"""The demonstration: it is right, says so, and says when it is not."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from examples import seller_day

SCRIPT = Path(seller_day.__file__)


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", SCRIPT, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """One day with twelve buyers: its file, what it reports as JSON, and what it says to people."""
    path = tmp_path_factory.mktemp("demo") / "day.db"
    done = run("--json", "--buyers", "12", "--database", path, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return path, report, done.stderr


class TestTheDay:
    def test_every_check_holds(self, result: tuple[Path, dict[str, Any], str]) -> None:
        _, report, _ = result
        assert report["ok"] is True
        assert len(report["checks"]) >= 9
        assert set(report["checks"].values()) == {True}

    def test_every_acknowledged_key_is_in_the_file(self, result: tuple[Path, dict[str, Any], str]) -> None:
        path, report, _ = result
        with closing(sqlite3.connect(path)) as db:
            [rows] = db.execute("SELECT count(*) FROM kv_store").fetchone()
        assert rows == report["keys_checked"] < report["acknowledged_writes"]

    def test_what_is_stored_follows_from_the_buyers(self, result: tuple[Path, dict[str, Any], str]) -> None:
        _, report, _ = result
        entries = {prefix: row["entries"] for prefix, row in report["stored"].items()}
        for prefix in ("agent:", "agent_url_index:", "session:", "negotiation:", "order:", "change_request:"):
            assert entries[prefix] == 12
        assert entries["quote:"] == entries["deal:"] == 13  # the contested one besides
        assert entries["session_index:buyer:"] == 8

    def test_only_quotes_and_sessions_expire(self, result: tuple[Path, dict[str, Any], str]) -> None:
        _, report, _ = result
        ends = {p: row["expires_in_s"] for p, row in report["stored"].items() if row["expires_in_s"]}
        assert ends.keys() == {"quote:", "session:", "idempotency:"}
        assert 86_300 < ends["quote:"][0] <= ends["quote:"][1] <= 86_400

    def test_times_are_plausible(self, result: tuple[Path, dict[str, Any], str]) -> None:
        _, report, _ = result
        assert report["latency"].keys() == {"read", "write", "change", "run once"}
        assert sum(row["calls"] for row in report["latency"].values()) == report["calls"]
        assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in report["latency"].values())

    def test_the_next_commands_work(self, result: tuple[Path, dict[str, Any], str]) -> None:
        path, _, said = result
        _, _, steps = said.partition("What to type next:")
        commands = [line for line in steps.splitlines() if " --url sqlite:" in line]
        assert len(commands) == 3
        for command in commands:
            done = subprocess.run(command, shell=True, cwd=path.parent, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            assert done.stdout


class TestTheProgram:
    def test_without_a_name_each_run_makes_a_new_file(self, tmp_path: Path) -> None:
        for number in (1, 2):
            done = run("--buyers", "1", cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
            assert f"demo-output/seller-day-{number}.db" in done.stdout
        assert len(list((tmp_path / "demo-output").iterdir())) == 2

    def test_an_existing_file_is_refused_and_stays(self, tmp_path: Path) -> None:
        precious = tmp_path / "ad_seller.db"
        precious.write_text("do not touch")
        done = run("--database", precious, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: {precious} is already there; name a new file, and this one stays as it is\n"
        assert precious.read_text() == "do not touch"

    def test_a_file_in_place_of_the_folder_is_said_plainly(self, tmp_path: Path) -> None:
        (tmp_path / "none").touch()
        done = run("--database", tmp_path / "none" / "day.db", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("error: There is no folder")
        assert len(done.stderr.splitlines()) == 1

    @pytest.mark.parametrize("buyers", ["0", "-1", "many"])
    def test_a_wrong_number_of_buyers_is_wrong_usage(self, tmp_path: Path, buyers: str) -> None:
        done = run("--buyers", buyers, cwd=tmp_path)
        assert done.returncode == 2
        assert "--buyers" in done.stderr
        assert not list(tmp_path.iterdir())

    def test_no_keep_leaves_nothing(self, tmp_path: Path) -> None:
        done = run("--buyers", "1", "--no-keep", "--database", "day.db", cwd=tmp_path)
        assert done.returncode == 0
        assert "What to type next" not in done.stdout
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("no_color", [False, True])
    def test_colours_only_where_wanted(self, tmp_path: Path, no_color: bool) -> None:
        shown = run_on_a_terminal(tmp_path, {"NO_COLOR": "1"} if no_color else {})
        assert (b"\x1b[32m" in shown) is not no_color
        assert b"ok" in shown

    def test_no_escape_codes_and_no_bar_into_a_pipe(self, tmp_path: Path) -> None:
        done = run("--buyers", "1", cwd=tmp_path)
        assert "\x1b" not in done.stdout + done.stderr
        assert "Serving buyers" not in done.stdout + done.stderr


class TestDamage:
    @pytest.mark.parametrize(
        "damage",
        [
            "DELETE FROM kv_store WHERE key LIKE 'deal:%'",
            "UPDATE kv_store SET value = '{\"status\": \"draft\"}' WHERE key LIKE 'order:%'",
            "UPDATE kv_store SET value = 'not JSON' WHERE key LIKE 'session:%'",
            "UPDATE kv_store SET value = '[]' WHERE key LIKE 'session_index:%'",
            "UPDATE kv_store SET expires_at = NULL WHERE key LIKE 'quote:%'",
            "INSERT INTO kv_store (key, value) VALUES ('deal:FORGED', '{}')",
        ],
    )
    async def test_is_seen(
        self,
        damage: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = tmp_path / "day.db"
        read_back = seller_day.read_back

        async def read_damaged(url: str) -> seller_day.Found:
            with closing(sqlite3.connect(path)) as db, db:
                assert db.execute(damage).rowcount > 0
            return await read_back(url)

        monkeypatch.setattr(seller_day, "read_back", read_damaged)
        assert await seller_day.main(["--json", "--buyers", "2", "--database", str(path)]) == 1
        captured = capsys.readouterr()
        assert json.loads(captured.out)["ok"] is False
        assert "WRONG" in captured.err


def run_on_a_terminal(folder: Path, environment: dict[str, str]) -> bytes:
    """Run the demonstration on a terminal of its own and return what that shows."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, SCRIPT, "--buyers", "1"],
        cwd=folder,
        env=clean | {"TERM": "xterm-256color"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # Linux says so when the other end is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    return shown
