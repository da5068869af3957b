"""replay: real recordings, altered ones, and damaged ones."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from ad_seller.storage.testing.servers import RedisServer
from tests import warm
from tests.cli.conftest import Invoke
from tests.cli.support import COMMAND, EXCERPT, SHARED_DAY, assert_explained, fill, run, write_recording

DAY = SHARED_DAY if SHARED_DAY.is_file() else EXCERPT
OPERATIONS = 9_000 if SHARED_DAY.is_file() else 300
PEAK_LIMIT_KB = 100 * 1024

#: Runs the command, then writes the peak of its memory in KiB (VmHWM: of this program, not of its parent).
MEASURED = """
import sys
from ad_seller.storage.cli import main
try:
    main(sys.argv[1:])
finally:
    status = open("/proc/self/status").read()
    sys.stderr.write(status.partition("VmHWM:")[2].split()[0])
"""

SHORT: list[dict[str, Any]] = [
    {"t": 0.1, "op": "get", "key": "deal:1", "hit": False},
    {"t": 0.2, "op": "set", "key": "deal:1", "value": {"price": 1.0}, "ttl": 86400},
    {"t": 0.3, "op": "get", "key": "deal:1", "hit": True},
    {"t": 0.4, "op": "keys", "pattern": "deal:*", "found": 1},
    {"t": 0.5, "op": "delete", "key": "deal:1", "hit": True},
    {"t": 0.6, "op": "delete", "key": "deal:1", "hit": False},
    {"t": 0.7, "op": "keys", "pattern": "deal:*", "found": 0},
]


def replayed(*arguments: str, stdin: bytes = b"") -> tuple[int, dict[str, Any]]:
    done = run("replay", *arguments, "--json", stdin=stdin)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("store", ["sqlite:///./day.db", "memory://"])
def test_a_recorded_day(store: str) -> None:
    assert_day_matches(store)


def test_a_recorded_day_on_redis(own_redis: RedisServer) -> None:
    assert_day_matches(own_redis.url)


def assert_day_matches(url: str) -> None:
    code, report = replayed(str(DAY), "--url", url)
    assert (report["applied"], report["total"], report["mismatches"]) == (OPERATIONS, OPERATIONS, 0)
    assert (code, report["first_mismatches"], report["error"]) == (0, [], None)
    assert report["ops_per_second"] > 0
    counts = {kind: row.pop("count") for kind, row in report["latency_ms"].items()}
    assert counts.pop("all") == sum(counts.values()) == OPERATIONS
    for row in report["latency_ms"].values():
        assert 0 < row["p50"] <= row["p90"] <= row["p99"] <= row["max"]


def test_the_excerpt_plain_and_through_standard_input(directory: Path) -> None:
    plain = directory / "day.jsonl"
    plain.write_bytes(gzip.decompress(EXCERPT.read_bytes()))
    for arguments, stdin in (
        ([str(plain)], b""),
        (["-"], plain.read_bytes()),
        (["-"], EXCERPT.read_bytes()),
    ):
        code, report = replayed(*arguments, "--url", "memory://", stdin=stdin)
        assert (code, report["applied"], report["mismatches"]) == (0, 300, 0)


def test_a_report_to_read(invoke: Invoke, directory: Path) -> None:
    done = invoke("replay", str(write_recording(directory / "r", SHORT, compress=True)))
    assert (done.exit_code, done.stderr) == (0, "")
    first, heading, *rows = done.stdout.splitlines()
    assert first.startswith("7 of 7 operations applied in ")
    assert first.endswith(" 0 mismatches")
    assert heading.split() == ["operation", "count", "p50", "ms", "p90", "ms", "p99", "ms", "max", "ms"]
    assert [row.split()[:2] for row in rows] == [
        ["delete", "2"],
        ["get", "2"],
        ["keys", "2"],
        ["set", "1"],
        ["all", "7"],
    ]


def test_mismatches_are_named(directory: Path) -> None:
    lines = [
        *SHORT,
        SHORT[2],
        {"op": "keys", "pattern": "deal:*", "found": 3},
        {"op": "delete", "key": "x", "hit": True},
    ]
    code, report = replayed(str(write_recording(directory / "r", lines)), "--url", "memory://")
    assert (code, report["applied"], report["mismatches"]) == (1, 10, 3)
    assert report["first_mismatches"] == [
        {"line": 8, "op": "get", "key": "deal:1", "expected": True, "got": False},
        {"line": 9, "op": "keys", "key": "deal:*", "expected": 3, "got": 0},
        {"line": 10, "op": "delete", "key": "x", "expected": True, "got": False},
    ]


def test_only_the_first_ten_mismatches_are_named(invoke: Invoke, directory: Path) -> None:
    lines = [{"op": "get", "key": f"deal:{n}", "hit": True} for n in range(25)]
    done = invoke("replay", str(write_recording(directory / "r", lines)))
    assert done.exit_code == 1
    assert " 25 mismatches" in done.stdout
    assert "line 10: get 'deal:9': expected True, got False\nand 15 more mismatches\n" in done.stdout


def test_what_the_recording_does_not_say_is_not_compared(directory: Path) -> None:
    lines = [
        "",
        '{"op": "get", "key": "a"}',
        "  ",
        '{"op": "keys", "pattern": "*"}',
        '{"op": "delete", "key": "a"}',
    ]
    code, report = replayed(str(write_recording(directory / "r", lines)), "--url", "memory://")
    assert (code, report["applied"], report["mismatches"]) == (0, 3, 0)


def test_an_empty_recording(directory: Path) -> None:
    (directory / "r").write_bytes(b"")
    code, report = replayed("r", "--url", "memory://")
    assert (code, report["applied"], report["total"]) == (0, 0, 0)


def test_a_store_that_is_not_empty_is_refused(url: str, directory: Path) -> None:
    fill(url, {"deal:1": 1})
    file = str(write_recording(directory / "r", SHORT))
    assert_explained(run("replay", file, "--url", url), 2, "holds 1 ", "--force", "--url sqlite:///")
    code, report = replayed(file, "--force", "--url", url)
    assert (code, report["applied"], report["mismatches"]) == (1, 7, 1)


BAD_LINES = {
    "not JSON": "{",
    "not UTF-8": '{"op": "get", "key": "\udcff"}',
    "no object": "[1]",
    "unknown op": '{"op": "incr", "key": "a"}',
    "no key": '{"op": "get"}',
    "no pattern": '{"op": "keys", "key": "a"}',
    "key is no str": '{"op": "get", "key": 1}',
    "empty key": '{"op": "get", "key": ""}',
    "no value": '{"op": "set", "key": "a"}',
    "value with NaN": '{"op": "set", "key": "a", "value": [NaN]}',
    "ttl of zero": '{"op": "set", "key": "a", "value": 1, "ttl": 0}',
    "hit is no bool": '{"op": "get", "key": "a", "hit": 1}',
    "found is a bool": '{"op": "keys", "pattern": "a", "found": true}',
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_written(url: str, directory: Path, line: str) -> None:
    text = "".join(f"{json.dumps(operation)}\n" for operation in SHORT) + line
    (directory / "r").write_bytes(text.encode(errors="surrogateescape"))
    assert_explained(run("replay", "r", "--url", url), 2, "error: Line 8 of the recording: ", "Nothing was written")
    assert not (directory / "store.db").exists()


def test_a_gzip_file_cut_off_or_changed(url: str, directory: Path) -> None:
    whole = EXCERPT.read_bytes()
    changed = bytearray(whole)
    changed[-6] ^= 1  # in the check sum
    for data in (whole[:5000], whole[:5], bytes(changed)):
        (directory / "r.gz").write_bytes(data)
        assert_explained(run("replay", "r.gz", "--url", url), 2, "error: Line ", "damaged or cut off", "Nothing")
    assert not (directory / "store.db").exists()


@pytest.mark.parametrize("file", ["nothing.jsonl", "."])
def test_a_file_that_cannot_be_read(file: str) -> None:
    assert_explained(run("replay", file, "--url", "memory://"), 2, f"{file!r}", "hint: ")


def test_no_server(directory: Path) -> None:
    file = str(write_recording(directory / "r", SHORT))
    assert_explained(run("replay", file, "--url", "redis://127.0.0.1:1/0"), 3, "127.0.0.1:1", "hint: ")


def test_a_store_that_fails_on_the_way_is_reported_with_the_line(directory: Path, own_redis: RedisServer) -> None:
    lines = ({"op": "get", "key": f"event:{n}", "hit": False} for n in range(60_000))
    file = str(write_recording(directory / "r", lines))
    with warm.Popen(
        [*COMMAND, "replay", file, "--json", "--url", own_redis.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_misses(own_redis.url, 1_000)
        own_redis.kill()
        stdout, stderr = process.communicate(timeout=60)
    report = json.loads(stdout)
    assert process.returncode == 3
    assert 0 < report["applied"] < report["total"] == 60_000
    assert report["error"].startswith(f"Line {report['applied'] + 1} of the recording, get 'event:")
    said = json.loads(stderr.splitlines()[-1])
    assert (said["error"], said["exit_code"], bool(said["hint"])) == (report["error"], 3, True)


def wait_for_misses(url: str, count: int) -> None:
    """Wait until so many keys were looked for in vain; what this asks itself is no part of that."""
    with redis.Redis.from_url(url) as client:
        while client.info("stats")["keyspace_misses"] < count:
            time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_recording(directory: Path) -> None:
    value = {"note": "x" * 10_000}
    lines = ({"op": "set", "key": f"event:{n % 50}", "value": value} for n in range(6_000))
    big = write_recording(directory / "r.gz", lines, compress=True)  # 60 MB of text
    for file, stdin in ((str(DAY), b""), (str(big), b""), ("-", big.read_bytes())):
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, "replay", file, "--url", "memory://"], input=stdin, capture_output=True
        )
        assert done.returncode == 0
        assert int(done.stderr) < PEAK_LIMIT_KB


def test_nothing_but_errors_on_standard_error_without_a_terminal() -> None:
    done = run("replay", str(EXCERPT), "--url", "memory://", env={"TERM": "xterm-256color"})
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
