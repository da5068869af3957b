"""What a report says: verdicts, counts, Markdown."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ad_seller.storage.testing.levels import Level, Section
from ad_seller.storage.testing.report import Check, Outcome, Report
from ad_seller.storage.testing.steps import STEPS
from tests.docs_samples import ROOT


def check(name: str, outcome: Outcome, level: Level = Level.CORE, message: str = "") -> Check:
    return Check(name, level, Section.KEYS, outcome, message, 0.1234)


def report(*checks: Check, planned: int | None = None, **capabilities: Any) -> Report:
    return Report(
        "memory://", "MemoryBackend", capabilities, len(checks) if planned is None else planned, [*checks]
    )


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "failed", "not declared"], "failed"),
        (["passed", "not declared"], "passed"),
        (["not declared", "not checked"], "not checked"),
        (["not declared"], "not declared"),
        (["passed", "not shown"], "passed"),
        (["not shown", "not declared"], "not shown"),
    ],
)
def test_verdict_of_several_checks(outcomes: list[Outcome], verdict: Outcome) -> None:
    [row] = report(*(check(str(n), outcome) for n, outcome in enumerate(outcomes))).rows()
    assert row.verdict == verdict
    assert row.checks == len(outcomes)


@pytest.mark.parametrize(("durable", "verdict"), [(True, "passed"), (False, "not declared")])
def test_what_passes_of_a_level_that_is_not_declared(durable: bool, verdict: str) -> None:
    checks = [check("declares_durable_if_it_is", "passed", Level.DURABLE), check("a", "passed")]
    levels = {row.level: row.verdict for row in report(*checks, durable=durable).levels()}
    assert levels == {Level.CORE: "passed", Level.DURABLE: verdict}


def test_passed_means_that_all_were_made_and_none_failed() -> None:
    assert report(check("a", "passed"), check("b", "not declared")).passed
    assert not report(check("a", "passed"), check("b", "failed")).passed
    assert not report(check("a", "passed"), planned=2).passed
    assert report(check("a", "passed"), check("b", "not shown")).passed, "no proof, but nothing against it either"
    assert not report().passed


def test_summary_counts() -> None:
    found = report(check("a", "passed"), check("b", "failed"), check("c", "not checked"), planned=5)
    assert found.summary() == "MemoryBackend: 1 of 5 checks passed, 1 failed, 1 not checked, 2 not reached."


def test_markdown_is_a_badge_a_table_and_the_failures() -> None:
    found = report(check("a", "passed"), check("b|[x]", "failed", Level.LOAD, "first line\nsecond"))
    lines = found.markdown().splitlines()
    assert lines[0] == "![storage contract: failed](https://img.shields.io/badge/storage%20contract-failed-red)"
    assert "| Keys | core | 1 | 1 | passed |" in lines
    assert "| Keys | load | 1 | 0 | failed |" in lines
    assert lines[-1] == "- `b|[x]` (load): first line"
    assert "-1%20checks%20passed-brightgreen" in report(check("a", "passed")).markdown()


def test_failures_with_one_reason_are_one_group_that_names_the_step() -> None:
    rows = "AssertionError: 2 of 13 rows: empty, NUL: Failed: DID NOT RAISE <class 'InvalidKeyError'>\nmore"
    found = report(
        check("a", "failed", message="declares shared=True, but shared=False is what it does"),
        check("b", "failed", message=rows),
        check("c", "failed", message="Failed: DID NOT RAISE <class 'InvalidKeyError'>"),
        check("d", "failed", Level.LOAD, "AssertionError: assert 1 == 2"),
    )
    first, second, third = found.groups()
    assert [[one.id for one in group.checks] for group in (first, second, third)] == [["b", "c"], ["a"], ["d"]]
    assert first.reason == "Failed: DID NOT RAISE <class 'InvalidKeyError'>"
    assert [group.step.partition(".")[0] for group in (first, second, third)] == ["1", "10", "3"]


def test_steps_are_those_of_the_page() -> None:
    page = (ROOT / "docs/custom-backend.md").read_text()
    assert re.findall(r"^\*\*(\d+\. [^*]+)\*\*", page, re.MULTILINE) == list(STEPS)


def test_why_it_stopped_stands_in_the_summary() -> None:
    found = report(check("a", "failed"), planned=3)
    found.stopped = "No server answers at redis://u:hunter2@host"
    assert found.summary().endswith("2 not reached. No server answers at redis://***@host")


def test_dict_is_json() -> None:
    data = json.loads(json.dumps(report(check("a", "failed", message="why"), durable=True).as_dict()))
    assert data["passed"] is False
    assert data["levels"] == {"core": {"verdict": "failed", "checks": 1, "failed": 1}}
    assert data["sections"] == [{"section": "Keys", "level": "core", "verdict": "failed", "checks": 1, "failed": 1}]
    assert data["checks"] == [
        {"id": "a", "level": "core", "section": "Keys", "outcome": "failed", "message": "why", "seconds": 0.123}
    ]
