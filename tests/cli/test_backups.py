"""backup and restore."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.cli.conftest import Invoke
from tests.cli.support import COMMAND, assert_explained, fill, run
from tests.cli.test_terminal import at_terminal, plain


def test_backup_and_restore(invoke: Invoke, url: str, directory: Path) -> None:
    fill(url, {"deal:1": "saved"})
    done = invoke("backup", "saved.db", "--json")
    assert json.loads(done.stdout) == {"entries": 1, "size": (directory / "saved.db").stat().st_size}
    fill(url, {"deal:1": "newer", "deal:2": 2})
    back = invoke("restore", "saved.db", "--json")
    facts = json.loads(back.stdout)
    assert (back.exit_code, facts["entries"]) == (0, 1)
    assert json.loads(invoke("get", "deal:1").stdout) == "saved"
    assert run("--url", facts["aside"], "count").stdout == "2\n"
    assert "1 entries saved" in invoke("backup", "saved.db").stderr
    assert "What was there before is" in invoke("restore", "saved.db").stderr


def test_what_cannot_be(url: str, directory: Path) -> None:
    fill(url, {"deal:1": 1})
    assert_explained(run("--url", "memory://", "backup", "x"), 4, "pg_dump")
    assert_explained(run("--url", url, "restore", "nothing"), 2, "no file 'nothing'", "`backup` wrote")
    assert_explained(run("--url", url, "backup", "."), 3, "'.'", "no file")
    assert_explained(run("--url", "no.db", "backup", "x"), 1, "no.db")


def test_errors_name_what_was_asked_for(url: str, directory: Path) -> None:
    """Not the file under another name that takes its place at the end."""
    fill(url, {f"deal:{n}": "x" * 2_000 for n in range(2_000)})
    assert run("--url", url, "backup", "saved.db").returncode == 0
    for words in (["--url", url, "backup", "full.db"], ["--url", "full.db", "restore", "saved.db"]):
        limited = ["sh", "-c", 'ulimit -f 1000; trap "" XFSZ; exec "$@"', "sh", *COMMAND, *words]
        done = subprocess.run(limited, capture_output=True, text=True, timeout=110)
        assert_explained(done, 3, f"Cannot write '{directory}/full.db'", "free space")
    (directory / "bad.db").write_bytes((directory / "saved.db").read_bytes()[:100_000])
    assert_explained(run("--url", "full.db", "restore", "bad.db"), 3, "'bad.db' ")
    assert not [*directory.glob("*full*"), *directory.glob("*.part*")]


def test_progress_is_shown_at_a_terminal(url: str, directory: Path) -> None:
    fill(url, {f"deal:{n}": "x" * 2_000 for n in range(2_000)})
    code, text = at_terminal("backup", "saved.db", "--url", url)
    assert code == 0
    assert "Saving" in text
    assert "2,000 entries saved" in plain(text)
