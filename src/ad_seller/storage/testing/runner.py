"""Runs the conformance kit on a backend, without any pytest set-up of the caller, and gathers what it finds.

pytest runs in a process of its own: with our plugin only, and without configuration or conftest files. So a backend
that hangs or crashes takes nothing with it, and what it prints does not disturb; the checks after it are made by
a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from ..errors import ConfigurationError, MissingDependencyError, StorageConnectionError, StorageError, redact
from ..records.several import several
from . import guardian
from .levels import Level, Place, Section
from .report import Check, Report
from .target import APART

#: Called after each check with the report so far.
OnCheck = Callable[[Report], None]

_GRACE = 2.0  #: seconds beyond those of a check, or of one of its phases, in which its own limit ends it
_START = 60.0  #: seconds for pytest to start, to import the backend, and to look at its store
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
        checks: only these, by name; all if empty.
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
    chosen |= {"--storage-level": [*several("levels", levels)]}
    chosen |= {"--storage-check": [*several("checks", checks)]}
    chosen |= {"--storage-storm": [str(storm)] if storm is not None else [], "--storage-seconds": [str(seconds)]}
    options = [f"{name}={value}" for name, values in chosen.items() for value in values]
    gathered = _Gathered(Report(redact(spec)), on_check)
    environment = _environment()
    while True:
        more = ["--storage-erase"] if erase or gathered.report.checks else []
        more += [f"--storage-after={gathered.report.checks[-1].id}"] if gathered.report.checks else []
        with _pytest([*options, *more], environment) as process:
            gathered.follow(process, seconds)
        if not gathered.goes_on:  # a new process also empties the store that the last one left
            return gathered.report


class _Gathered:
    """The report, while the events come in."""

    def __init__(self, report: Report, on_check: OnCheck) -> None:
        self.report = report
        self.goes_on = False
        self._on_check = on_check
        self._places: dict[str, Place] = {}
        self._running: str | None = None
        self._ended = False

    def follow(self, process: _Process, seconds: float) -> None:
        """Take the events of one process to its end, which is near when no event comes for too long."""
        self.goes_on = hung = False
        patience = _START
        while (event := process.next(patience)) is not None:
            self._take(event, seconds)
            patience = seconds + _GRACE if self._running is not None else _START
        if process.is_silent:
            hung = True
            process.end()
        self._finish(process, f"did not end within {seconds:g} s and let nothing else run" if hung else "")

    def _take(self, event: dict[str, Any], seconds: float) -> None:
        match event.pop("event"):
            case "refused" if self.report.checks:
                self.report.stopped = event["message"]
                self._ended = True
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
                self._ended = True

    def _finish(self, process: _Process, why: str) -> None:
        """Say what went wrong if pytest did not come to its end."""
        why = why or f"ended the process that ran it (exit code {process.exit_code})"
        if self._running is not None:
            self._add(self._running, "failed", f"{why}; the checks after it were made by a new process", 0.0)
            self.goes_on = True
        elif not self._ended and self.report.checks:
            self.report.stopped = f"pytest ended between two checks (exit code {process.exit_code})"
        elif not self._ended:
            raise StorageError(
                f"pytest ended with exit code {process.exit_code} before any check:\n{redact(process.log)}"
            )
        elif not self.report.planned:
            raise ConfigurationError(
                "No check has such a name and level. `--json` shows the names of those of a level."
            )

    def _plan(self, checks: list[dict[str, str]]) -> None:
        if not self._places:
            self._places = {one["id"]: Place(Level(one["level"]), Section(one["section"])) for one in checks}
            self.report.planned = len(self._places)

    def _add(self, id: str, outcome: Any, message: str, seconds: float) -> None:
        self._running = None
        self.report.checks.append(Check(id, *self._places[id], outcome, message, seconds))
        self._on_check(self.report)


class _Process:
    """pytest behind its guardian, as a source of events.

    Attributes:
        exit_code: that of pytest, once it has ended.
        log: the end of what it printed.
        is_silent: whether an event was waited for in vain.
    """

    def __init__(self, guardian: subprocess.Popen[bytes], events: int) -> None:
        self.exit_code: int | None = None
        self.log = ""
        self.is_silent = False
        self._guardian = guardian
        self._events = events
        self._buffer = b""

    def next(self, patience: float) -> dict[str, Any] | None:
        """Return the next event; None: there are no more, or none came for so many seconds."""
        while b"\n" not in self._buffer:
            self.is_silent = not select.select([self._events], [], [], patience)[0]
            data = b"" if self.is_silent else os.read(self._events, 65536)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        if event["event"] != "exit":
            return event
        self.exit_code, self.log = event["code"], event["log"]
        return None

    def end(self) -> None:
        """End pytest and all that it has started, and learn its exit code."""
        assert self._guardian.stdin is not None
        self._guardian.stdin.close()
        while self.next(_START) is not None:
            pass


@contextlib.contextmanager
def _pytest(options: list[str], environment: dict[str, str]) -> Iterator[_Process]:
    """Start pytest behind a guardian, which ends it at the end of the block or of this process."""
    reading, writing = os.pipe()
    command = [sys.executable, "-P", guardian.__file__, str(writing)]
    try:
        process = guardian.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[writing],
            env=environment,
            start_new_session=True,  # the keys of a terminal reach this process only, and the guardian through it
        )
    finally:
        os.close(writing)
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(options).encode() + b"\n")
        process.stdin.flush()
        yield _Process(process, reading)
    finally:
        os.close(reading)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()


def _environment() -> dict[str, str]:
    """Return the environment for all processes of a run, without what would bring other things into pytest."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_CORE_"))}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", APART: uuid.uuid4().hex[:12]}
