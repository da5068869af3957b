"""A tiny run, from processes to pages, with what the main environment has."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import bursts, engines, report
from benchmarks.contender import Contender
from benchmarks.contenders import BY_NAME, Entry
from benchmarks.data import Value, value, work_key
from benchmarks.results import Burst, Results, load, save
from benchmarks.rounds import Plan, Run
from benchmarks.workloads import BY_NAME as WORKLOADS

NAMES = (
    "get-64-s",
    "set-1-s",
    "update-64",
    "list-1000",
    "new-orders-64",
    "changed-quotes-64",
    "day-64",
    "get@1000",
)
PLAN = Plan(rounds=2, seconds=0.03, say=lambda _: None)


def run(folder: Path, contenders: list[Entry], *names: str) -> Results:
    results = Results("sqlite")
    with engines.started("sqlite", folder) as places:
        Run(places, contenders, PLAN, results).run(
            [replace(WORKLOADS[name], stage=min(WORKLOADS[name].stage, 1_000)) for name in names]
        )
    return results


@pytest.mark.timeout(600)  # it computes 18 s: where ten others do, too, that takes more than two minutes
def test_two_contenders_end_to_end(tmp_path: Path) -> None:
    results = run(tmp_path, [BY_NAME["memory"], BY_NAME["aiosqlite"], BY_NAME["sqlite3"]], *NAMES)
    assert results.absent == {}
    assert set(results.bursts) == set(NAMES)
    for workload, found in results.bursts.items():
        assert "aiosqlite" in found
        for contender, rounds in found.items():
            assert len(rounds) == PLAN.rounds, (workload, contender)
            for burst in rounds:
                assert (burst.failed, burst.wrong, burst.error) == (0, 0, None), (workload, contender)
                assert burst.ops > 0
                assert burst.p99 is not None
                assert burst.p50 is not None
                assert burst.p99 >= burst.p50 > 0
    assert results.bursts["get-64-s"]["memory"][0].stall is not None
    assert results.bursts["get-64-s"]["sqlite3"][0].stall is None  # no event loop, no ticker
    assert results.memory["aiosqlite"]["1,000 entries"] > 5
    assert list(tmp_path.iterdir()) == []

    save(tmp_path / "found.json", [results])
    assert load(tmp_path / "found.json") == [results]
    written = report.write(tmp_path / "pages", load(tmp_path / "found.json")[0])
    assert {path.name for path in written} == {"sqlite.md", "sqlite-speed.svg", "sqlite-growth.svg"}
    page = (tmp_path / "pages" / "sqlite.md").read_text()
    assert "| naive aiosqlite |" in page
    assert "power failure (synchronous=FULL)" in page


def test_a_contender_that_does_not_start_is_reported(tmp_path: Path) -> None:
    results = run(tmp_path, [BY_NAME["memory"], BY_NAME["redis"]], "get-64-s")  # a folder is no place for Redis
    assert set(results.absent) == {"redis"}
    assert results.absent["redis"]
    assert set(results.bursts["get-64-s"]) == {"memory"}
    assert "absent: " + results.absent["redis"][:40] in report.page(Results("redis", absent=results.absent), [])


class Lying(Contender):
    """Answers every read with the same entry, and forgets what it is told."""

    def __init__(self) -> None:
        super().__init__("")

    async def get(self, key: str) -> Value | None:
        return value(work_key("s", 0), "s")

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        await asyncio.sleep(0)

    async def keys(self, prefix: str) -> list[str]:
        return []

    async def delete(self, key: str) -> bool:
        raise ValueError("no")


async def burst_of(workload: str) -> Burst:
    """Return one in which at least a call was made: a busy machine may let a short one pass without."""
    seconds = 0.02
    while not ((burst := await bursts.run(Lying(), WORKLOADS[workload], 1_000, seconds)).ops or burst.failed):
        seconds *= 2
    return burst


@pytest.mark.parametrize("workload", ["get-64-s", "set-64-s", "mixed-64-s", "keys-1000"])
async def test_wrong_answers_are_found(workload: str) -> None:
    assert (await burst_of(workload)).wrong > 0


async def test_what_raises_is_no_operation() -> None:
    burst = await burst_of("delete-64")
    assert burst.ops == 0
    assert burst.failed > 0
    assert burst.error == "ValueError: no"


async def test_the_ticker_sees_a_stall() -> None:
    class Blocking(Lying):
        async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
            time.sleep(0.02)
            await asyncio.sleep(0)

    burst = await bursts.run(Blocking(), WORKLOADS["set-1-s"], 1_000, 0.05, ticker=True)
    assert burst.stall is not None
    assert burst.stall > 15
