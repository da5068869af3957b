"""Times that stand in records: what is one, and what only looks like one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ad_seller.storage.records.times import seconds_of

FIRST, LAST = datetime(1990, 1, 1, tzinfo=UTC).timestamp(), datetime(3000, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (FIRST, FIRST),
        (LAST - 1, LAST - 1),
        (1_790_000_000, 1_790_000_000.0),
        ("1990-01-01", FIRST),
        ("2026-11-30T12:00:00.5+02:00", datetime(2026, 11, 30, 10, tzinfo=UTC).timestamp() + 0.5),
        ("2026-11-30T12:00:00", datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()),
    ],
)
def test_times(value: Any, seconds: float) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        0,
        7,
        -1,
        FIRST - 1,
        LAST,
        1_790_000_000_000,
        10**400,
        float("nan"),
        float("inf"),
        True,
        None,
        "",
        "soon",
        [],
        {},
        "1989-12-31T23:59:59",
        "3000-01-01",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_time(value: Any) -> None:
    assert seconds_of(value) is None
