"""What collects the conformance tests for the backend of pytest's option, and tells what becomes of them.

The options stand in `ad_seller_storage_pytest`. The command ``ad-seller-storage conform`` runs pytest with them,
and gets lines of JSON.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ..errors import ConfigurationError, StorageError, redact
from ..testing import suite
from .conformance.harness import NOT_SHOWN
from .levels import Level, Place, place_of
from .target import SECONDS, Target, empty, keep_apart

_MODULE = "storage-conformance"
LEVELS = list(Level)  #: in this order, so that a run that is stopped has checked the foundations
_NOT_DECLARED = ("does not declare", "declares neither", "declares that")


class Kit:
    """The tests for one target, as a plugin of pytest.

    Args:
        config: pytest's; if nothing else than the target was asked for, nothing else is run.
    """

    def __init__(self, config: pytest.Config) -> None:
        """Look at the options."""
        keep_apart()
        if (here := str(config.invocation_params.dir)) not in sys.path:
            sys.path.append(here)  # `pytest` alone, other than `python -m pytest`, does not look there
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            config.args = []
        self.config = config
        self.target = Target(config.getoption("--storage-backend"), config.getoption("--storage-url"))
        config.stash[suite.TARGET] = self.target
        if storm := config.getoption("--storage-storm"):
            suite.TestStorage.storm_size = storm
        self._seconds: float = config.getoption("--storage-seconds")
        suite.TestStorage.opening = min(suite.TestStorage.opening, self._seconds)
        self._events: int | None = config.getoption("--storage-events")
        self._reports: list[pytest.TestReport] = []

    # --- before the tests ------------------------------------------------------------------------------

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Make sure that there is a store, and that nothing in it can be lost."""
        try:
            self._check_store()
        except Exception as error:  # a backend of somebody else may raise anything
            message = redact(str(error) if isinstance(error, StorageError) else self._foreign(error))
            self._tell("refused", message=message, unreachable=isinstance(error, ConnectionError | TimeoutError))
            raise pytest.UsageError(message) from error

    def _foreign(self, error: Exception) -> str:
        what = str(error) or f"it did not connect, list its keys and disconnect within {SECONDS:g} s"
        return f"{self.target.spec}: {type(error).__name__}: {what}"

    def _check_store(self) -> None:
        erase = self.config.getoption("--storage-erase")
        with tempfile.TemporaryDirectory() as folder:
            target = self.target.at(Path(folder))
            asyncio.run(asyncio.wait_for(empty(target, erase=erase), SECONDS))
            backend = target()
        capabilities = backend.capabilities
        is_common = (capabilities.durable or capabilities.shared) and not self.target.is_new_each_time
        if is_common and hasattr(self.config, "workerinput"):
            raise ConfigurationError(
                "Workers of pytest-xdist cannot share a store; add -n0, or {folder} to the URL"
            )
        self._tell("backend", name=type(backend).__name__, capabilities=asdict(capabilities))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the tests; there is no file of them that pytest could be told to look into."""
        module: pytest.Module = pytest.Module.from_parent(session, path=Path(suite.__file__), nodeid=_MODULE)
        module.obj = suite
        wanted = [item for item in session.genitems(module) if self._is_wanted(item)]
        items += self._rest(sorted(wanted, key=lambda item: LEVELS.index(_place(item).level)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, collector: pytest.Collector, name: str) -> list[pytest.Item] | None:
        """Make no tests of checks that are not wanted: to make all takes longer than most checks do."""
        if not isinstance(collector, pytest.Class) or not self._is_ours(collector.nodeid):
            return None
        levels, checks = (self.config.getoption(name) for name in ("--storage-level", "--storage-check"))
        names = {f"test_{check.partition('[')[0]}" for check in checks}
        is_other = bool(checks) and name not in names
        is_other |= bool(levels) and name.startswith("test_") and place_of(collector.obj, name).level not in levels
        return [] if is_other else None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell which checks there are."""
        checks = [item for item in session.items if self._is_ours(item.nodeid)]
        self._tell("plan", checks=[{"id": _name(item.nodeid), **_place(item)._asdict()} for item in checks])

    def _rest(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """Return what comes after the check at which an earlier process ended."""
        last: str | None = self.config.getoption("--storage-after")
        names = [_name(item.nodeid) for item in items]
        return items[names.index(last) + 1 :] if last in names else items

    def _is_wanted(self, item: pytest.Item) -> bool:
        levels, checks = (self.config.getoption(name) for name in ("--storage-level", "--storage-check"))
        name = _name(item.nodeid)
        return (not levels or _place(item).level in levels) and (
            not checks or name in checks or name.partition("[")[0] in checks
        )

    # --- the tests -------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Iterator[None]:
        """Let no test hang."""
        test = pyfuncitem.obj
        if self._is_ours(pyfuncitem.nodeid) and inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def limited(*args: Any, **kwargs: Any) -> None:
                limit = asyncio.timeout(self._seconds)
                try:
                    async with limit:
                        await test(*args, **kwargs)
                except TimeoutError:
                    if limit.expired():
                        pytest.fail(f"did not end within {self._seconds:g} s", pytrace=False)
                    raise

            pyfuncitem.obj = limited
        return (yield)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell what runs now, in case that it never ends."""
        if self._is_ours(nodeid):
            self._tell("begin", id=_name(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the three phases of a test, and tell what came out."""
        if not self._is_ours(report.nodeid):
            return
        self._reports.append(report)
        self._tell("phase")
        if report.when == "teardown":
            outcome, message = _outcome(self._reports)
            seconds = sum(one.duration for one in self._reports)
            self._tell("check", id=_name(report.nodeid), outcome=outcome, message=message, seconds=seconds)
            self._reports = []

    def pytest_sessionfinish(self) -> None:
        """Tell that this is all."""
        self._tell("end")

    @staticmethod
    def _is_ours(nodeid: str) -> bool:
        return nodeid.startswith(f"{_MODULE}::")

    def _tell(self, event: str, **about: object) -> None:
        if self._events is not None:
            os.write(self._events, json.dumps({"event": event, **about}).encode() + b"\n")


def _name(nodeid: str) -> str:
    """Return the name of a check: the test's without "test_"."""
    return nodeid.partition("::TestStorage::")[2].removeprefix("test_")


def _place(item: pytest.Item) -> Place:
    assert isinstance(item, pytest.Function)
    assert item.cls is not None
    return place_of(item.cls, item.originalname)


def _outcome(reports: list[pytest.TestReport]) -> tuple[str, str]:
    """Return what became of a test, and why."""
    for report in reports:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            where = "" if report.when == "call" else f"{report.when}: "
            return "failed", redact(where + (crash.message if crash else report.longreprtext))
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            reason = reason.removeprefix("Skipped: ")
            if reason.startswith(NOT_SHOWN):
                return "not shown", reason.removeprefix(NOT_SHOWN)
            return "not declared" if reason.startswith(_NOT_DECLARED) else "not checked", reason
    return "passed", ""
