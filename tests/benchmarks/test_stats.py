"""The numbers that a run is told by."""

from __future__ import annotations

import pytest

from benchmarks.goals import GOALS, Goal, best_peer, verdicts
from benchmarks.guard import WATCHED, falls, measured
from benchmarks.results import Burst, Results
from benchmarks.stats import Spread, percentile, spread, turned
from benchmarks.workloads import BY_NAME


def rounds(*rates: float) -> list[Burst]:
    return [Burst(ops=int(rate), seconds=1.0) for rate in rates]


class TestRatio:
    def test_is_taken_within_each_round(self) -> None:
        results = Results(
            "sqlite", bursts={"get-1-s": {"sqlite": rounds(100, 20, 90), "sqlite3": rounds(200, 10, 100)}}
        )
        assert results.ratio("get-1-s", "sqlite", "sqlite3") == Spread(0.9, 0.5, 2.0)

    def test_a_round_in_which_one_did_nothing_does_not_count(self) -> None:
        results = Results("sqlite", bursts={"get-1-s": {"sqlite": rounds(100, 50), "sqlite3": rounds(0, 100)}})
        assert results.ratio("get-1-s", "sqlite", "sqlite3") == Spread(0.5, 0.5, 0.5)

    def test_without_a_common_round_there_is_none(self) -> None:
        results = Results("sqlite", bursts={"get-1-s": {"sqlite": rounds(100)}})
        assert results.ratio("get-1-s", "sqlite", "sqlite3") is None
        assert results.ratio("get-64-s", "sqlite", "sqlite3") is None

    def test_failed_operations_are_counted_apart(self) -> None:
        bursts = [Burst(ops=10, seconds=1.0, failed=3), Burst(ops=10, seconds=1.0, failed=1)]
        results = Results("sqlite", bursts={"get-1-s": {"sqlite": bursts}})
        assert results.total("get-1-s", "sqlite", "failed") == 4
        assert results.rates("get-1-s", "sqlite") == [10.0, 10.0]


class TestNumbers:
    def test_spread_of_nothing(self) -> None:
        assert spread([]) is None

    @pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
    def test_percentile_is_one_of_the_numbers(self, share: float, expected: int) -> None:
        assert percentile(range(1, 101), share) == expected

    def test_percentile_of_one(self) -> None:
        assert percentile([7], 0.99) == 7


class TestOrder:
    def test_turns(self) -> None:
        assert [turned("ABC", turn) for turn in range(4)] == [list("ABC"), list("BCA"), list("CAB"), list("ABC")]

    def test_each_is_in_each_place_equally_often(self) -> None:
        orders = [turned("ABCD", turn) for turn in range(8)]
        for place in range(4):
            assert sorted(order[place] for order in orders) == sorted("ABCD" * 2)

    def test_of_nobody(self) -> None:
        assert turned([], 3) == []


class TestGoals:
    def test_name_workloads_that_exist(self) -> None:
        assert all(goal.workload in BY_NAME for goals in GOALS.values() for goal in goals)
        assert all(workload in BY_NAME for watched in WATCHED.values() for workload in watched)

    def test_less_durable_peers_do_not_count_for_writes(self) -> None:
        found = {"pkv-disk": rounds(900), "aiosqlite": rounds(50), "langgraph": rounds(60), "sqlite3": rounds(999)}
        results = Results("sqlite", bursts={"set-64-s": found, "get-64-s": found})
        assert best_peer(results, "set-64-s") == "langgraph"
        assert best_peer(results, "get-64-s") == "pkv-disk"

    def test_met_and_in_every_round(self) -> None:
        found = {
            "sqlite": rounds(200, 150, 100),
            "aiosqlite": rounds(100, 100, 100),
            "sqlite3": rounds(100, 100, 100),
        }
        by_goal = {verdict.goal: verdict for verdict in verdicts(Results("sqlite", bursts={"set-1-s": found}))}
        peer, limit = by_goal[Goal("set-1-s", "aiosqlite", 1.4)], by_goal[Goal("set-1-s", "sqlite3", 0.78)]
        assert (peer.met, peer.sure) == (True, False)
        assert (limit.met, limit.sure) == (True, True)
        assert by_goal[Goal("get-1-s", "sqlite3", 0.80)].met is None

    def test_stalls_must_stay_below(self) -> None:
        bursts = [Burst(ops=1, seconds=1.0, stall=stall) for stall in (1.0, 2.0, 9.0)]
        found = verdicts(Results("sqlite", bursts={"get-64-s": {"sqlite": bursts}}))
        assert [verdict.met for verdict in found if verdict.goal == Goal("get-64-s", "stall", 2.5)] == [True]


class TestGuard:
    def test_names_what_fell_below_its_bound_or_is_missing(self) -> None:
        found = {"sqlite": rounds(50, 50, 50), "sqlite3": rounds(100, 100, 100)}
        now = measured([Results("sqlite", bursts={"get-1-s": found, "get-64-s": found, "set-64-s": found})])
        assert now == {"sqlite": {"get-1-s": 0.5, "get-64-s": 0.5, "set-64-s": 0.5}}
        stored = {
            "sqlite": {"get-1-s": 1.3, "get-64-s": 1.2, "set-64-s": 0.9, "update-64": 0.1},
            "redis": {"get-1-s": 1.0},
        }
        fallen = falls(stored, now, ["sqlite"])
        assert [fall.workload for fall in fallen] == ["get-64-s", "update-64"]
        assert str(fallen[0]) == "sqlite, get-64-s: 0.50 of sqlite3, was 1.20, the bound is 0.60"

    def test_a_figure_with_failures_is_none(self) -> None:
        found = {"sqlite": [Burst(ops=50, seconds=1.0, failed=1)], "sqlite3": rounds(100)}
        assert measured([Results("sqlite", bursts={"get-1-s": found})]) == {}
