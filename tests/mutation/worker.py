"""``python -m tests.mutation.worker FOLDER``: runs tests on one mutant after another, each in a fork of its own.

What all tests need is imported once, before the forks; the package is not, so each fork imports the mutant from the
copy in FOLDER. Reads one order a line, and answers each by one line, both JSON.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

_IMPORTED = ("asyncpg", "aiosqlite", "msgspec", "redis.asyncio", "hypothesis.stateful", "anyio", "rich.progress")
_PLUGINS = ("no:cacheprovider", "no:xdist", "no:pytest_cov", "no:rerunfailures")


def main(folder: Path) -> None:
    """Carry out orders until there are no more."""
    for name in (
        *_IMPORTED,
        "anyio.pytest_plugin",
        "pytest_timeout",
        "trustme",
        "typer",
        "_pytest.assertion.rewrite",
    ):
        importlib.import_module(name)
    if "ad_seller.storage" in sys.modules:
        raise RuntimeError("the package was imported before the fork: every mutant would be the same")
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_carry_out(order, folder)), flush=True)


def _carry_out(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run tests, and tell how they ended.

    Args:
        order: ``arguments`` for pytest, ``limit`` in seconds.
        folder: for the files of the tests.
    """
    output = folder / "output.txt"
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _test(order["arguments"], folder, output)
    status = _waited(child, began + order["limit"])
    lines = output.read_text(errors="replace").splitlines()
    told = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or lines[-1:]
    return {"status": status, "seconds": round(time.monotonic() - began, 1), "told": " ".join(told[:1])}


class _FirstFailure:
    """Ends the process with the first failure: to end a test in good order may take long with a defect."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            print(f"\nFAILED {report.nodeid}")
            _end(1)


def _test(arguments: list[str], folder: Path, output: Path) -> None:
    os.setsid()
    file = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(file, stream)
    random.seed()  # or every fork would try the same ports
    options = ["-s", "-q", "--no-header", f"--basetemp={folder / 'tests'}", "--timeout=15"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins that were imported before the fork
    for plugin in _PLUGINS:
        options += ["-p", plugin]
    status = 3
    try:
        status = int(pytest.main([*options, *arguments], [_FirstFailure()]))
    except BaseException:
        traceback.print_exc()
    finally:
        _end(status)


def _end(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _waited(child: int, deadline: float) -> int | None:
    """Return the status with which a child ended, or None if it had to be ended."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # what tests started; servers go by themselves
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    for process in [*psutil.Process(child).children(recursive=True), psutil.Process(child)]:
        process.send_signal(signal.SIGKILL)
    os.waitpid(child, 0)
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
