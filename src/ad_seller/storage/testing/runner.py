"""Runs the conformance kit on a backend, without any pytest set-up of the caller, and gathers what it finds.

pytest runs in a process of its own: with our plugin only, and without configuration or conftest files. So a
backend that hangs or crashes takes nothing with it, and what it prints does not disturb.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, MissingDependencyError, StorageConnectionError, StorageError, redact
from .levels import Level, Place, Section
from .report import Check, Report

#: Called after each check with the report so far.
OnCheck = Callable[[Report], None]

_SILENCE = 90.0  #: seconds beyond those of a check without a word from pytest: something blocks its event loop
_NEEDED = ("pytest", "anyio", "psutil")


def run(
    spec: str,
    *,
    url: str | None = None,
    levels: Sequence[Level] = (),
    checks: Sequence[str] = (),
    storm: int | None = None,
    seconds: float = 60.0,
    erase: bool = False,
    on_check: OnCheck = lambda report: None,
) -> Report:
    """Run the checks on a backend and return what came out.

    Args:
        spec: a URL, or "module:name" of a class or function; see `Target`.
        url: the ``database_url`` that the class or function is given.
        levels: only these; all if empty.
        checks: only these, by their names with or without the part in brackets; all if empty.
        storm: how many operations the storms of cancellations start; fewer for a slow backend.
        seconds: a check that takes longer hangs, and has failed.
        erase: delete the entries of a store that has some; such a store is refused otherwise.
        on_check: called after each check.

    Raises:
        ConfigurationError: nothing can be tested: no such class, a store with entries, no such check.
        StorageConnectionError: the store cannot be reached.
        MissingDependencyError: the extra ``testing`` is not installed.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise MissingDependencyError(
            f"The conformance kit needs {', '.join(missing)}: pip install 'ad-seller-storage[testing]'"
        )
    chosen = {"--storage-backend": [spec], "--storage-url": [url] if url is not None else []}
    chosen |= {"--storage-level": list(levels), "--storage-check": list(checks)}
    chosen |= {"--storage-storm": [str(storm)] if storm is not None else [], "--storage-seconds": [str(seconds)]}
    options = [f"{name}={value}" for name, values in chosen.items() for value in values]
    gathered = _Gathered(Report(redact(spec)), on_check)
    with _pytest([*options, *(["--storage-erase"] if erase else [])]) as (process, events, log):
        for event in _events(events, seconds + _SILENCE):
            gathered.take(event)
        if not gathered.ended:
            _end(process)
        gathered.finish(process.wait(), log)
    return gathered.report


class _Gathered:
    """The report, while the events come in."""

    def __init__(self, report: Report, on_check: OnCheck) -> None:
        self.report = report
        self.ended = False
        self._on_check = on_check
        self._places: dict[str, Place] = {}
        self._running: str | None = None

    def take(self, event: dict[str, Any]) -> None:
        match event.pop("event"):
            case "refused":
                kind = StorageConnectionError if event["unreachable"] else ConfigurationError
                raise kind(event["message"])
            case "backend":
                self.report.backend, self.report.capabilities = event["name"], event["capabilities"]
            case "plan":
                self._plan(event["checks"])
            case "begin":
                self._running = event["id"]
            case "check":
                self._add(**event)
            case "end":
                self.ended = True

    def finish(self, exit_code: int, log: Path) -> None:
        """Say what went wrong if pytest did not come to its end."""
        if self._running is not None:
            message = (
                f"the process that ran it hung or died (exit code {exit_code}); the checks after it were not made"
            )
            self._add(self._running, "failed", message, 0.0)
        elif not self.ended and not self.report.checks:
            tail = redact(log.read_text(errors="replace").strip()[-2000:])
            raise StorageError(f"pytest ended with exit code {exit_code} before any check:\n{tail}")
        elif not self.report.planned:
            raise ConfigurationError(
                "No check has such a name and level. `--json` shows the names of those of a level."
            )

    def _plan(self, checks: list[dict[str, str]]) -> None:
        self._places = {one["id"]: Place(Level(one["level"]), Section(one["section"])) for one in checks}
        self.report.planned = len(self._places)

    def _add(self, id: str, outcome: Any, message: str, seconds: float) -> None:
        self._running = None
        self.report.checks.append(Check(id, *self._places[id], outcome, message, seconds))
        self._on_check(self.report)


@contextlib.contextmanager
def _pytest(options: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """Start pytest; yield its process, the descriptor that its events come from, and the file of its output."""
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="conform-") as folder, contextlib.ExitStack() as cleaning:
        cleaning.callback(os.close, reading)
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "pytest", "-c", f"{folder}/pytest.ini", "--rootdir", folder]
        command += ["-p", "anyio", "-p", "ad_seller_storage_pytest", "-p", "no:cacheprovider", "--noconftest"]
        command += ["--basetemp", f"{folder}/work", "-q", f"--storage-events={writing}", *options]
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[writing],
                env=_environment(),
                start_new_session=True,
            )
        cleaning.callback(_end, process)
        os.close(writing)
        yield process, reading, log


def _end(process: subprocess.Popen[bytes]) -> None:
    """End pytest, if it runs, and whatever the checks have started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment() -> dict[str, str]:
    """Return the environment without what would bring other plugins or options into pytest."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_CORE_"))}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _events(descriptor: int, patience: float) -> Iterator[dict[str, Any]]:
    """Yield the events until there are no more, or none comes for a long time."""
    buffer = b""
    while select.select([descriptor], [], [], patience)[0]:
        data = os.read(descriptor, 65536)
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        yield from map(json.loads, lines)
