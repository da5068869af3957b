"""After a run in one process: how many schedules each file ran in a second of computing time."""

from __future__ import annotations

import pytest

from tests.schedules.world import RAN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not RAN:  # the workers of pytest-xdist have no terminal
        return
    terminalreporter.section("schedules")
    for file, ran in sorted(RAN.items()):
        terminalreporter.write_line(
            f"{file:<40}{ran.schedules:>8,} schedules, {ran.steps:>10,} steps, {ran.schedules / ran.seconds:>7,.0f}"
            " in a second of computing time"
        )
