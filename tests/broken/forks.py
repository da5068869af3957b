"""One process that has imported everything, and runs the kit in forks of itself: a fraction of a new process each.

Apart from that, a run is what `runner.run` makes of it: the same options, the same events, the same report.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ad_seller.storage.testing import guardian
from ad_seller.storage.testing.conformance import jobs
from ad_seller.storage.testing.runner import _Process
from tests import warm

WARM = ["--storage-backend=tests.broken.bases:SevenBackend", "--storage-check=missing_entry"]


class Forks:
    """The process, from outside; it is started when it is needed, also after it had to be ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def run(self, options: list[str], environment: dict[str, str]) -> Iterator[_Process]:
        """Take the place of `runner._pytest`."""
        process = self._process or subprocess.Popen(
            [sys.executable, "-m", "tests.broken.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(options).encode() + b"\n")
        process.stdin.flush()
        run = _Process(process, process.stdout.fileno())
        try:
            yield run
        finally:
            if run.exit_code is None or process.stdin.closed:
                self.close()

    def close(self) -> None:
        """End the process and what it runs."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.wait()
            process.stdout.close()


def serve() -> None:
    """Run the kit for each line of options on the standard input, until that ends."""
    events = os.dup(1)
    with Path(os.devnull).open("r+b") as nothing:
        os.dup2(nothing.fileno(), 1)
    warm.begin()
    jobs.Popen = warm.Popen
    _pytest(WARM, os.open(os.devnull, os.O_WRONLY))
    gc.collect()
    gc.freeze()  # pytest collects garbage five times at each end
    while line := _line():
        code = _fork(json.loads(line), events)
        os.write(events, json.dumps({"event": "exit", "code": code, "log": ""}).encode() + b"\n")


def _line() -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        more = os.read(0, 65536)
        if not more:
            return b""
        data += more
    return data


def _fork(options: list[str], events: int) -> int:
    """Run the kit in a fork, and end that when the standard input ends."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        warm.inherit()
        os._exit(_pytest(options, events))
    status = 0
    while not (done := os.waitpid(pid, os.WNOHANG)[0]) and not select.select([0], [], [], 0.005)[0]:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if not done:
        _, status = os.waitpid(pid, 0)
    return status


class Wanted:
    """Spares pytest to make all the tests of which `Kit` leaves one: more than a half of a run's computing."""

    def __init__(self, options: list[str]) -> None:
        self._names = {f"test_{option.partition('=')[2]}" for option in options if "--storage-check=" in option}

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, name: str) -> list[pytest.Item] | None:
        """Make nothing of another check."""
        return [] if name.startswith("test_") and name not in self._names else None


def _pytest(options: list[str], events: int) -> int:
    with tempfile.TemporaryDirectory(prefix="conform-") as folder:
        return int(pytest.main([*guardian.arguments(Path(folder), events), *options], plugins=[Wanted(options)]))


if __name__ == "__main__":
    serve()
