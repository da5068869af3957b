"""What each file of tests costs: ``pytest -p tests.costs``, with or without ``-n``.

Computing time (user and system) of the process, of all that it has started and of what those have started, servers
included, and beside it the rest of the time that passed: waiting, or a core that others had.
"""

from __future__ import annotations

import os
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

_TICKS = os.sysconf("SC_CLK_TCK")
_SHOWN = 40  #: files


def _children(pid: int) -> Iterator[int]:
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return


def _of_living(pid: int) -> float:
    """Return the computing seconds of what a process has started and that still lives."""
    total = 0.0
    for child in _children(pid):
        try:
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(map(int, fields[11:15])) / _TICKS + _of_living(child)  # its own, and of those it waited for
    return total


def computing() -> float:
    """Return the computing seconds of this process and of all that it has ever started."""
    own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own + _of_living(os.getpid())


class Costs:
    """Measures on a worker, or where there are none; adds up on the controller."""

    def __init__(self) -> None:
        self._mark = (0.0, time.monotonic())
        self.tests: dict[str, tuple[float, float]] = {}

    def _since(self) -> tuple[float, float]:
        before, self._mark = self._mark, (computing(), time.monotonic())
        return self._mark[0] - before[0], self._mark[1] - before[1]

    def pytest_collection_finish(self) -> None:
        self.collection = self._since()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.when == "teardown":
            item.user_properties.append(("costs", self._since()))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == "costs" and report.when == "teardown":
                self.tests[report.nodeid] = value  # type: ignore[assignment]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if where := os.environ.get("COSTS"):
            Path(where).write_text("".join(f"{c:.3f}\t{p:.3f}\t{n}\n" for n, (c, p) in self.tests.items()))
        for title, depth, shown in (("parts", 2, _SHOWN), ("files", 9, _SHOWN)):
            sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
            for name, (computed, passed) in self.tests.items():
                part = "/".join(name.partition("::")[0].split("/")[:depth])
                sums[part] = [sum(pair) for pair in zip(sums[part], (1.0, computed, passed), strict=True)]
            terminalreporter.section(f"costs of {title}: tests, seconds computing, seconds passed")
            for part, (tests, computed, passed) in sorted(sums.items(), key=lambda one: -one[1][1])[:shown]:
                terminalreporter.write_line(f"{tests:6.0f} {computed:8.1f} {passed:8.1f}  {part}")
        whole = [sum(column) for column in zip(*self.tests.values(), strict=True)] or [0.0, 0.0]
        terminalreporter.write_line(f"{len(self.tests):6d} {whole[0]:8.1f} {whole[1]:8.1f}  all")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Costs())
