"""Those who share a batch, or a line for a key, under schedules: what one of them does never harms the others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from ad_seller.storage.atomic import updates
from ad_seller.storage.driver.commit import Commit, Outcome
from ad_seller.storage.driver.failures import LostError
from ad_seller.storage.errors import StorageError, UnknownOutcomeError
from ad_seller.storage.runtime import batcher as batching
from ad_seller.storage.runtime.batcher import Batcher
from ad_seller.storage.runtime.request import Request
from tests.bulk_engine import ExplainedError, begun_by
from tests.schedules.simulated import Disk, SimulatedBackend, SimulatedEngine
from tests.schedules.world import World, explore

TIMEOUT = 2.0
GRACE = 1.0  #: as in `test_batcher`

Answer = int | asyncio.Future[int]


class UncopyableError(Exception):
    """Takes two arguments and keeps one, so that it cannot be made anew."""

    def __init__(self, one: str = "a", two: str = "b") -> None:
        super().__init__(one)


SLIPS: tuple[type[Exception], ...] = (StopIteration, UncopyableError, IndexError)
TOLD: tuple[type[Exception], ...] = (ExplainedError, RuntimeError, *SLIPS)


# --- a batch ---------------------------------------------------------------------------------------------


class Bulk:
    """A bulk call that fails as a whole, or gives a future that fails, or doubles what it gets."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def run(self, items: list[int]) -> Sequence[Answer]:
        await self._world.pause()
        if self._world.chance.random() < 0.4:
            raise OSError("cut")
        return [self._later(item) if self._world.chance.random() < 0.2 else 2 * item for item in items]

    def _later(self, item: int) -> asyncio.Future[int]:
        later: asyncio.Future[int] = self._world.loop.create_future()
        if self._world.chance.random() < 0.5:
            later.set_exception(OSError(f"{item} is cut"))
        else:
            later.set_result(2 * item)
        return later


def explain(error: BaseException, request: Request[int, int]) -> BaseException:
    """Fail for some requests, as what looks at the first item of a request without items does."""
    kind = request.items[0] % 5
    if kind < len(SLIPS):
        raise SLIPS[kind]
    return ExplainedError(error, request)


async def together(world: World) -> None:
    batcher: Batcher[int, int] = Batcher(
        (bulk := Bulk(world)).run,
        explain=explain,
        timeout=TIMEOUT,
        max_items=8,
        begin=world.chance.choice((None, begun_by(bulk.run))),
    )

    async def call(number: int) -> None:
        items = [number] * world.chance.choice((0, 1, 1, 2))
        started = world.loop.time()
        try:
            assert await batcher.submit(items) == [2 * number] * len(items)
        except TOLD:
            assert items, "an empty request is answered at once"
        assert world.loop.time() - started < TIMEOUT, "no answer, but for the time-out"

    await world.gather(*(call(number) for number in range(6)))
    await batcher.drain()


def test_a_member_of_a_batch_harms_nobody() -> None:
    explore(together, 600)


async def beside_a_stuck_one(world: World) -> None:
    """One request has no answer for a long time; what others have got is not kept for it."""
    stuck = world.loop.create_future()

    async def run(items: list[int]) -> Sequence[Answer]:
        await world.pause()
        return [stuck if item == 0 else item for item in items]

    batcher: Batcher[int, int] = Batcher(run, explain=explain, timeout=1e6)
    first = asyncio.ensure_future(batcher.submit([0]))
    for number in range(1, 400):
        await batcher.submit([number])
    assert len(batcher._deadlines) < 200, "requests are kept with their results"
    stuck.set_result(0)
    assert await first == [0]
    await batcher.drain()


def test_a_request_without_an_answer_keeps_no_others() -> None:
    explore(beside_a_stuck_one, 5)


# --- a line for a key ------------------------------------------------------------------------------------


async def in_line(world: World) -> None:
    disk = Disk(world)
    store = disk.backend(sweep_interval=None)
    await store.connect()
    done = 0

    async def count(slip: type[Exception] | None) -> None:
        nonlocal done

        def change(current: Any) -> Any:
            if slip is not None:
                raise slip
            return (current or 0) + 1

        try:
            await store.update("n", change)
            done += 1
        except TOLD:
            assert slip is not None, "the mistake of somebody else"

    calls = [count(world.chance.choice((None, None, *SLIPS))) for _ in range(6)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert not any(isinstance(result, asyncio.CancelledError) for result in results), "nobody cancelled it"
    assert [result for result in results if result is not None] == []
    assert done == (await disk.value("n") or 0)
    await store.let_go()


def test_a_change_that_raises_harms_nobody_in_line() -> None:
    explore(in_line, 400)


# --- a batch that takes several calls --------------------------------------------------------------------


class SplitBackend(SimulatedBackend):
    """Its engine carries two commits in a call, and any call may be lost or refused."""

    def _make_engine(self) -> SimulatedEngine:
        return SplitEngine(self)


class SplitEngine(SimulatedEngine):
    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for start in range(0, len(commits), 2):
            part = commits[start : start + 2]
            try:
                outcomes += await self._part(part)
            except OSError as error:
                outcomes += [error] * len(part)
        return outcomes

    async def _part(self, part: list[Commit]) -> Sequence[Outcome | Exception]:
        fate = self._world.chance.random()
        if fate < 0.15:
            raise ConnectionError("refused: the disk is full")
        outcomes = await super().apply(part)
        return outcomes if fate < 0.85 else [LostError("cut after")] * len(part)


class AllOrNoneEngine(SplitEngine):
    """A defect: the error of a later call is told to those of earlier ones."""

    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        outcomes: list[Outcome | Exception] = []
        for start in range(0, len(commits), 2):
            outcomes += await self._part(commits[start : start + 2])
        return outcomes


async def split(world: World) -> None:
    disk = Disk(world)
    store = SplitBackend(disk, clock=world.clock, sweep_interval=None)
    await store.connect()

    async def write(key: str) -> None:
        try:
            await store.set(key, 1)
        except UnknownOutcomeError:
            return
        except StorageError:
            assert await disk.value(key) is None, "told that nothing was written"
        else:
            assert await disk.value(key) == 1

    await world.gather(*(write(f"k{number}") for number in range(6)))
    await store.let_go()


def test_each_caller_hears_of_its_own_part() -> None:
    explore(split, 300)


# --- with the mends taken out ----------------------------------------------------------------------------


class QueuesEmptyBatcher(Batcher[int, int]):
    """A defect: a request without items is queued like others."""

    def submit(self, items: Sequence[int]) -> asyncio.Future[list[int]]:
        request: Request[int, int] = Request(items, self._loop.create_future(), self._loop.time() + TIMEOUT)
        self._queue.append(request)
        self._deadlines.add(request)
        self._schedule()
        return request.future


class FailsAtTellingBatcher(Batcher[int, int]):
    """A defect: an error while an error is reported ends the report."""

    def _fail(self, request: Request[int, int], error: BaseException) -> None:
        if not request.future.done():
            request.future.set_exception(self._explain(error, request))


class KeepsAllBatcher(Batcher[int, int]):
    """A defect: what has its answer is let go from one end only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadlines._prune_at = sys.maxsize


class LosesLaterBatcher(Batcher[int, int]):
    """A defect: the error of a result that comes later is raised where nobody hears it."""

    def _fail(self, request: Request[int, int], error: BaseException) -> None:
        if "is cut" not in str(error):
            super()._fail(request, error)


def unguarded(future: asyncio.Future[Any], result: Any = None, error: BaseException | None = None) -> None:
    """A defect: a future refuses StopIteration, and raises at whoever tells it."""
    if not future.done():
        future.set_result(result) if error is None else future.set_exception(error)


class TestTheChecksFindDefects:
    @pytest.mark.parametrize("broken", [QueuesEmptyBatcher, FailsAtTellingBatcher, LosesLaterBatcher])
    def test_of_a_batch(self, monkeypatch: pytest.MonkeyPatch, broken: type[Batcher[int, int]]) -> None:
        monkeypatch.setattr("tests.schedules.test_neighbours.Batcher", broken)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test_a_member_of_a_batch_harms_nobody()

    def test_of_what_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.schedules.test_neighbours.Batcher", KeepsAllBatcher)
        with pytest.raises(AssertionError, match="are kept with their results"):
            test_a_request_without_an_answer_keeps_no_others()

    @pytest.mark.parametrize(
        ("module", "test"),
        [
            (batching, test_a_member_of_a_batch_harms_nobody),
            (updates, test_a_change_that_raises_harms_nobody_in_line),
        ],
    )
    def test_of_telling(self, monkeypatch: pytest.MonkeyPatch, module: Any, test: Any) -> None:
        monkeypatch.setattr(module, "settle", unguarded)
        with pytest.raises(AssertionError, match="SCHEDULE_SEED"):
            test()

    def test_of_a_split_batch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(SplitBackend, "_make_engine", lambda self: AllOrNoneEngine(self))
        with pytest.raises(AssertionError, match="told that nothing was written"):
            test_each_caller_hears_of_its_own_part()
