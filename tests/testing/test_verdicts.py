"""What was not seen is no proof, neither for a backend nor against it; and each is judged by what it declares."""

from __future__ import annotations

import pytest

from ad_seller.storage.testing import runner
from ad_seller.storage.testing.levels import Level
from tests.docs_samples import ROOT

HERE = "tests.testing.backends"
LEVELS = [Level.CORE, Level.DURABLE, Level.PROCESSES, Level.FAULTS, Level.LOAD]
FILE = "sqlite:///{folder}/store.db"


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_a_sound_backend_that_never_waits_passes() -> None:
    report = runner.run(f"{HERE}:NeverWaits", storm=300)
    assert report.passed, report.failures
    open_ends = {
        check.id.partition("[")[0]: check.message for check in report.checks if check.outcome == "not shown"
    }
    assert {"storm_of_cancellations", "declares_atomic_batches_if_they_are"} <= set(open_ends)
    assert "calls were under way when cancelled" in open_ends["storm_of_cancellations"]
    assert "atomic_batches=True, which is no proof" in open_ends["declares_atomic_batches_if_they_are"]


def test_a_backend_that_lists_slowly_is_asked_for_less() -> None:
    report = runner.run(f"{HERE}:ListsSlowly", checks=["no_listing_stops_at_a_round_number"], seconds=15)
    assert report.passed, report.failures
    assert report.checks[0].message == "103 entries were listed; 1,203 take longer than 20 s"


def test_a_file_for_one_instance_at_a_time_passes() -> None:
    report = runner.run(f"{HERE}:OwnsItsFile", url=FILE, storm=300, levels=LEVELS)
    assert report.passed, report.failures


def test_what_disconnect_must_keep_is_said_in_words() -> None:
    report = runner.run(f"{HERE}:LosesWhatIsUnderWay", url=FILE, checks=["disconnect_waits_for_what_is_under_way"])
    [failure] = report.failures
    assert "declares durable: what was asked for before disconnect() must be there" in failure.message
    assert "0 of 50 acknowledged writes are" in failure.message
