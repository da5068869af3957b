"""export and import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import warm
from tests.cli.conftest import Invoke
from tests.cli.support import COMMAND, assert_explained, fill, run, wait_until_it_reads


def test_a_file(invoke: Invoke, url: str, directory: Path) -> None:
    fill(url, {"deal:1": {"cpm": 1.0}, "quote:1": 1})
    done = invoke("export", "all.jsonl.gz", "--json")
    facts = json.loads(done.stdout)
    assert (done.exit_code, facts["count"], facts["left_out"]) == (0, 2, 0)
    assert (directory / "all.jsonl.gz").read_bytes()[:2] == b"\x1f\x8b"

    again = invoke("import", "all.jsonl.gz")
    assert again.exit_code == 2
    assert "Choose --keep or --replace" in again.stderr
    assert "contradict" in invoke("import", "all.jsonl.gz", "--keep", "--replace").stderr
    kept = invoke("import", "all.jsonl.gz", "--keep", "--json")
    assert json.loads(kept.stdout) == {"stored": 0, "kept": 2, "expired": 0, "bad": 0}
    assert "2 stored" in invoke("import", "all.jsonl.gz", "--replace").stderr


def test_what_is_there_is_replaced_by_force_only(invoke: Invoke, url: str, directory: Path) -> None:
    fill(url, {"deal:1": 1})
    (directory / "all.jsonl").write_text("of yesterday")
    assert_explained(run("--url", url, "export", "all.jsonl"), 2, "a file 'all.jsonl' already", "--force")
    assert (directory / "all.jsonl").read_text() == "of yesterday"
    assert invoke("export", "all.jsonl", "--force").exit_code == 0
    assert "deal:1" in (directory / "all.jsonl").read_text()


def test_what_is_no_file(invoke: Invoke, url: str, directory: Path) -> None:
    """No pipe is made a file, a link stays one, and no store comes to be for a file that is not there."""
    fill(url, {"deal:1": 1})
    os.mkfifo(directory / "pipe")
    for name in ("pipe", "."):
        assert_explained(run("--url", url, "export", name), 3, "no file")
    assert (directory / "pipe").is_fifo()
    (directory / "link.jsonl").symlink_to("real.jsonl")
    assert invoke("export", "link.jsonl").exit_code == 0
    assert (directory / "link.jsonl").is_symlink()
    assert run("--url", "copy.db", "import", "link.jsonl").returncode == 0
    for name, words in (("nothing", "no file 'nothing'"), (".", "is a folder")):
        assert_explained(run("--url", "new.db", "import", name), 2, words, "Name what `export` wrote")
    assert not (directory / "new.db").exists()


def test_pipes(url: str, directory: Path) -> None:
    fill(url, {"deal:1": {"cpm": 1.0}, "quote:1": 1})
    exported = run("--url", url, "export", "-", "--prefix", "deal:")
    assert [json.loads(line).get("key") for line in exported.stdout.splitlines()] == [None, "deal:1", None]
    done = run("--url", "copy.db", "import", "-", stdin=exported.stdout.encode())
    assert (done.returncode, done.stdout) == (0, "")
    assert run("--url", "copy.db", "list", "*").stdout == 'deal:1\t{"cpm":1.0}\n'

    cut = b"".join(exported.stdout.encode().splitlines(keepends=True)[:2])
    done = run("--url", "cut.db", "import", "-", stdin=cut)
    assert_explained(done, 4, "Line 3: the end is missing", "1 entries before it were stored")
    done = run("--url", "cut.db", "import", "-", "--skip-bad", "--keep", stdin=cut + b"postgres://me:s3cret@host\n")
    assert (done.returncode, done.stdout) == (4, "")
    assert "line 3: " in done.stderr
    assert "s3cret" not in done.stderr


def test_no_store_is_made_for_what_is_of_no_use(url: str, directory: Path) -> None:
    """Not for a damaged file, whatever becomes of bad lines, and not for a pipe without an export."""
    fill(url, {"deal:1": {"cpm": 1.0}})
    whole = run("--url", url, "export", "-").stdout.encode()
    newer = whole.replace(b'"version":1', b'"version":2')
    for name, text in (
        ("cut", whole[:-60]),
        ("changed", whole.replace(b"1.0", b"2.0")),
        ("newer", newer),
        ("no", b""),
    ):
        (directory / name).write_bytes(text)
        assert_explained(run("--url", "new.db", "import", name), 4)
    for text in (newer, b"hello\n", b"\x1f\x8b"):
        assert_explained(run("--url", "new.db", "import", "-", "--skip-bad", stdin=text), 4)
    assert not list(directory.glob("new.db*"))


def test_a_full_disk_while_importing(url: str, directory: Path) -> None:
    """It says how to go on."""
    fill(url, {f"deal:{n:05}": {"text": "x" * 100} for n in range(10_000)})
    assert run("--url", url, "export", "all.jsonl.gz").returncode == 0
    for command, how in (
        (["--url", "new.db", "import", "all.jsonl.gz"], "--keep or --replace goes on"),
        (["copy", url, "copy.db"], "`--resume` goes on"),
    ):
        limited = ["sh", "-c", 'ulimit -f 1000; trap "" XFSZ; exec "$@"', "sh", *COMMAND, *command]
        done = subprocess.run(limited, capture_output=True, text=True, timeout=110)
        assert_explained(done, 3, how, "disk I/O error")
    assert run("--url", "new.db", "import", "all.jsonl.gz", "--keep").returncode == 0
    assert run("copy", url, "copy.db", "--resume").returncode == 0
    assert run("verify", "new.db", "copy.db").returncode == 0


def test_values_that_cannot_be_read(invoke: Invoke, url: str, directory: Path) -> None:
    from tests.cli.test_repair import damage

    fill(url, {"deal:1": 1, "deal:2": 2})
    damage(directory, "deal:1", "NaN")
    assert invoke("export", "all.jsonl").exit_code == 4
    assert not (directory / "all.jsonl").exists()
    done = invoke("export", "all.jsonl", "--skip-bad")
    assert done.exit_code == 4
    assert "1 entries written, 1 left out" in done.stderr


def test_a_reader_that_goes_away(url: str, directory: Path) -> None:
    fill(url, {f"deal:{n}": "x" * 1_000 for n in range(2_000)})
    with warm.Popen(
        [*COMMAND, "--url", url, "export", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("stop", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)],
)
def test_an_import_that_waits_for_its_input_is_stopped(directory: Path, stop: signal.Signals, code: int) -> None:
    command = [*COMMAND, "--url", "new.db", "import", "-"]
    with warm.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"{")
        process.stdin.flush()
        wait_until_it_reads(process)
        process.send_signal(stop)
        assert process.wait(30) == code
        assert process.stderr is not None
        assert b"Interrupted" in process.stderr.read()
