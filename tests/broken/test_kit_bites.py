"""The conformance kit finds each of these defects, by the check that is meant for it."""

from __future__ import annotations

import re

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.testing import runner
from ad_seller.storage.testing.report import Report

from . import changes, crashes, entries, listings  # noqa: F401 - their backends register themselves
from .bases import BROKEN, URLS, Broken

SECONDS = 4.0  #: what takes longer hangs; the other checks have the time that they need on a busy machine
STORM = 600

#: Their defect is to declare something; without it they do not, and the check says so.
FALSELY_DECLARED = {"entries_are_there_after_reconnect"}


def checked(spec: str, base: type[StorageBackend], checks: list[str], seconds: float = 60) -> Report:
    return runner.run(spec, url=URLS[base], checks=checks, storm=STORM, seconds=seconds)


@pytest.mark.parametrize(
    "broken", [one for one in BROKEN if not one.is_silent], ids=lambda one: one.backend.__name__
)
def test_each_defect_is_found_by_the_check_meant_for_it(broken: Broken) -> None:
    report = checked(broken.spec, broken.base, [broken.name], SECONDS if broken.hangs else 60)
    assert report.failures, report.summary()
    assert not report.passed
    for failure in report.failures:
        assert failure.id.startswith(broken.name)
        assert not broken.row or re.search(rf" rows: (.*, )?{re.escape(broken.row)}[,:]", failure.message)
        assert failure.message
        assert ("did not end within" in failure.message) is broken.hangs


@pytest.mark.parametrize("silent", [one for one in BROKEN if one.is_silent], ids=lambda one: one.backend.__name__)
def test_what_is_not_declared_is_hinted_at_and_no_failure(silent: Broken) -> None:
    report = checked(silent.spec, silent.base, [silent.check])
    assert report.passed
    [check] = report.checks
    assert check.outcome == "not shown"
    assert "which is no proof. If it always holds, return Capabilities(" in check.message


@pytest.mark.parametrize("base", URLS, ids=lambda base: base.__name__)
def test_without_the_defects_the_same_checks_pass(base: type[StorageBackend]) -> None:
    checks = sorted({broken.name for broken in BROKEN if broken.base is base})
    report = checked(f"{base.__module__}:{base.__name__}", base, checks)
    assert report.passed, report.failures
    assert {check.id.partition("[")[0] for check in report.checks} == set(checks)
    not_passed = {check.id for check in report.checks if check.outcome != "passed"}
    assert not_passed <= FALSELY_DECLARED


def test_what_to_declare_is_said() -> None:
    silent = next(broken for broken in BROKEN if broken.check == "declares_who_knows_the_expiry")
    [failure] = checked(silent.spec, silent.base, [silent.check]).failures
    assert "declares expiry='process', but expiry='store' is what it does" in failure.message
    assert "Return Capabilities(expiry='store', …)" in failure.message


def test_every_backend_has_a_defect_of_its_own() -> None:
    assert len(BROKEN) == len({broken.backend for broken in BROKEN}) >= 80
