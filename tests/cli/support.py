"""Running the command line: as a process of its own, or inside the test."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import os
import subprocess
import sys
import termios
import time
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from ad_seller.storage import open_url
from tests import warm

COMMAND = [sys.executable, "-m", "ad_seller.storage.cli"]
EXCERPT = Path(__file__).parents[1] / "data" / "seller-day-300.jsonl.gz"
SHARED_DAY = Path(__file__).parents[3] / "shared" / "data" / "seller-day.jsonl.gz"


def run(
    *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, timeout: float = 110
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, and return what it wrote; by a new interpreter where ``env`` is about that."""
    command, environment = [*COMMAND, *arguments], {**os.environ, **(env or {})}
    if any(name.startswith("PYTHON") for name in env or {}):
        done = subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=timeout)
    else:
        done = warm.run(command, stdin=stdin, env=environment, timeout=timeout)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def fill(url: str, entries: Mapping[str, Any]) -> None:
    """Store entries."""

    async def write() -> None:
        async with open_url(url) as store:
            await store.set_many(entries)

    asyncio.run(write())


def write_recording(path: Path, lines: Iterable[dict[str, Any] | str], *, compress: bool = False) -> Path:
    """Write a recording; a str is a line as it is."""
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if compress else text)
    return path


def assert_explained(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Check that a failure is a short message on standard error and no traceback."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def wait_until_it_reads(process: subprocess.Popen[bytes]) -> None:
    """Wait until it has taken all that the pipe held, and sleeps, waiting for more."""
    assert process.stdin is not None
    left = array("i", [1])
    give_up = time.monotonic() + 30
    while left[0] or psutil.Process(process.pid).status() != psutil.STATUS_SLEEPING:
        assert time.monotonic() < give_up
        time.sleep(0.01)
        fcntl.ioctl(process.stdin, termios.FIONREAD, left)
