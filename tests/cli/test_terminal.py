"""What only somebody at a terminal sees: colours, the progress bar, escaped keys."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import warm
from tests.cli.support import COMMAND, EXCERPT, fill, run

ESCAPE = "\x1b["


def at_terminal(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the command with a terminal for everything; return its exit code and what the terminal got."""
    ours, theirs = pty.openpty()
    settings = {"TERM": "xterm-256color", **(env or {})}
    with warm.Popen(
        [*COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **settings},
    ) as process:
        os.close(theirs)
        text = read_to_end(ours)
    os.close(ours)
    return process.returncode, text


def read_to_end(terminal: int) -> str:
    data = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            chunk = b""
        if not chunk:
            return data.decode()
        data += chunk


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r\n", "\n")


def test_values_are_coloured(url: str) -> None:
    fill(url, {"deal:1": {"price": 1.0, "name": "x" * 200}})
    code, text = at_terminal("get", "deal:1", "--url", url)
    assert code == 0
    assert ESCAPE in text
    assert plain(text) == '{\n  "price": 1.0,\n  "name": "' + "x" * 200 + '"\n}\n'


def test_no_color_is_respected(url: str) -> None:
    fill(url, {"deal:1": {"price": 1.0}})
    for arguments in (["get", "deal:1"], ["list", "deals"], ["fetch"], ["--help"]):
        _, text = at_terminal(*arguments, "--url", url, env={"NO_COLOR": "1"})
        assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|38|9[0-7])", text), text
    _, text = at_terminal("get", "deal:1", "--url", url, env={"NO_COLOR": "1"})
    assert ESCAPE not in text


def test_json_for_programs_is_never_coloured(url: str) -> None:
    fill(url, {"deal:1": {"price": 1.0}})
    assert at_terminal("get", "deal:1", "--json", "--url", url) == (0, '{"price":1.0}\r\n')


def test_a_key_cannot_command_the_terminal(url: str) -> None:
    fill(url, {"a\x1b[2Jb": 1})
    for arguments in (["keys"], ["exists", "a\x1b[2Jb"]):
        code, text = at_terminal(*arguments, "--url", url)
        assert (code, text) == (0, "a\\x1b[2Jb\r\n")


def test_replay_shows_its_progress_and_clears_it_away() -> None:
    code, text = at_terminal("replay", str(EXCERPT), "--url", "memory://")
    assert code == 0
    assert "Replaying" in text
    assert "300 of 300 operations applied" in plain(text)


@pytest.mark.parametrize("kind", ["not JSON", "store"])
def test_an_error_is_readable_below_a_progress_bar(directory: Path, kind: str) -> None:
    (directory / "r").write_text("{\n" if kind == "not JSON" else '{"op":"get","key":"a"}\n')
    url = "memory://" if kind == "not JSON" else "redis://127.0.0.1:1/0"
    code, text = at_terminal("replay", "r", "--url", url)
    assert code == (2 if kind == "not JSON" else 3)
    assert "error: " in text
    assert "hint: " in text


def test_records_are_a_table_that_fits(url: str) -> None:
    long = {f"field_{n}": "x" * 50 for n in range(30)}
    fill(url, {f"order:ORD-{n}": {"audit": [1], **long, "status": "booked", "t": "\x1b[31m"} for n in range(3)})
    code, text = at_terminal("list", "orders", "--url", url, env={"COLUMNS": "60"})
    lines = plain(text).splitlines()
    assert code == 0
    assert max(map(len, lines)) <= 60 + len(" more fields: wider, `get KEY`, or --json.")
    table = lines[:-1]
    assert max(map(len, table)) <= 60
    assert [line.split()[:2] for line in table if "ORD-" in line] == [[f"ORD-{n}", "booked"] for n in range(3)]
    assert "more fields" in lines[-1]


def test_a_pipe_gets_lines(url: str) -> None:
    fill(url, {"order:1": {"status": "booked"}})
    assert run("list", "orders", "--url", url).stdout == 'order:1\t{"status":"booked"}\n'


def test_what_is_no_record_is_in_the_table_too(url: str) -> None:
    fill(url, {"order:1": {"status": "booked"}, "order:2": "text", "order:3": None, "order:4": {}})
    code, text = at_terminal("list", "orders", "--url", url, env={"COLUMNS": "60"})
    assert code == 0
    assert [line.split() for line in plain(text).splitlines() if line[:1] in ("1", "2", "3", "4")] == [
        ["1", "booked"],
        ["2", '"text"'],
        ["3", "null"],
        ["4"],
    ]


def test_a_terminal_that_is_closed_leaves_no_part_of_a_file(url: str, directory: Path) -> None:
    fill(url, {f"deal:{n}": "x" * 1_000 for n in range(20_000)})
    ours, theirs = pty.openpty()
    own = "os.setsid(); os.close(os.open(sys.argv[1], os.O_RDWR))"  # from then on the terminal is its own
    command = f"import os, sys; {own}; os.execv(sys.argv[2], sys.argv[2:])"
    arguments = [os.ttyname(theirs), *COMMAND, "--url", url, "export", "all.jsonl.gz"]
    begun = [sys.executable, "-c", command, *arguments]
    with subprocess.Popen(begun, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        give_up = time.monotonic() + 60
        while not list(directory.glob("*.part")):
            assert time.monotonic() < give_up
            time.sleep(0.005)
        os.close(ours)
        assert process.wait(60) == -signal.SIGHUP
    assert sorted(each.name for each in directory.iterdir() if "jsonl" in each.name) == []
