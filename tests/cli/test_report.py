"""The histogram of latencies."""

from __future__ import annotations

import random

import pytest

from ad_seller.storage.cli.report import Latencies


def filled(seconds: list[float]) -> Latencies:
    latencies = Latencies()
    for each in seconds:
        latencies.add(each)
    return latencies


def test_percentiles_are_those_of_the_sorted_list_within_half_a_percent() -> None:
    seconds = [random.Random(n).lognormvariate(-8, 1.5) for n in range(5_000)]
    latencies = filled(seconds)
    for percent in (1, 50, 90, 99, 100):
        exact = sorted(seconds)[percent * len(seconds) // 100 - 1]
        assert latencies.percentile(percent) == pytest.approx(exact, rel=0.0051)
    assert latencies.longest == max(seconds)
    assert latencies.count == 5_000


def test_no_percentile_is_above_the_longest() -> None:
    assert filled([0.0010049]).percentile(50) <= 0.0010049


def test_none_at_all_and_none_measurable() -> None:
    assert Latencies().milliseconds() == {"p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}
    assert filled([0.0]).milliseconds() == {"p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}


def test_merging_is_counting_together() -> None:
    together = filled([0.001] * 3)
    together.merge(filled([0.1]))
    assert together.count == 4
    assert together.percentile(75) == pytest.approx(0.001, rel=0.0051)
    assert together.longest == together.percentile(100) == 0.1


def test_memory_is_bounded() -> None:
    latencies = filled([n * 1e-7 for n in range(100_000)])
    assert len(latencies._buckets) < 1_500
