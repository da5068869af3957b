"""Each operation is cancelled at each of its awaits, under many schedules: all or nothing, and nothing stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ad_seller.storage import Transaction
from tests.atomic.support import MOMENTS, Moment, cancelled_at
from tests.schedules.simulated import Disk, SimulatedBackend
from tests.schedules.world import World, explore

BEFORE = {"a": 1, "b": [1]}
Entries = dict[str, Any]


async def two_keys(tx: Transaction) -> int:
    await tx.update("a", lambda n: n + 1)
    await tx.set("c", "new")
    return 1


async def in_transaction(store: SimulatedBackend) -> None:
    async with store.transaction() as tx:
        await two_keys(tx)


async def with_lease(store: SimulatedBackend) -> None:
    async with store.lease("l", 60):
        await store.set("a", 2)


async def listed(store: SimulatedBackend) -> None:
    assert (await store.scan("*", limit=1)).items == [("a", 1)]


BOTH = {"a": 2, "b": [1], "c": "new"}
CASES: dict[str, tuple[Callable[[SimulatedBackend], Awaitable[Any]], Entries]] = {
    "set": (lambda s: s.set("a", 2), {"a": 2, "b": [1]}),
    "delete": (lambda s: s.delete("a"), {"b": [1]}),
    "create": (lambda s: s.create("c", "new"), {**BEFORE, "c": "new"}),
    "compare_and_set": (lambda s: s.compare_and_set("a", 1, 2), {"a": 2, "b": [1]}),
    "get_and_delete": (lambda s: s.get_and_delete("a"), {"b": [1]}),
    "increment": (lambda s: s.increment("a"), {"a": 2, "b": [1]}),
    "update": (lambda s: s.update("b", lambda ids: [*ids, 2]), {"a": 1, "b": [1, 2]}),
    "set_many": (lambda s: s.set_many({"a": 2, "c": "new"}), BOTH),
    "delete_many": (lambda s: s.delete_many(["a", "b"]), {}),
    "transaction": (in_transaction, BOTH),
    "transact": (lambda s: s.transact(two_keys), BOTH),
    "run_once": (lambda s: s.run_once("s", "k", 1, two_keys), BOTH),
    "lease": (with_lease, {"a": 2, "b": [1]}),
    "get": (lambda s: s.get("a"), BEFORE),
    "get_many": (lambda s: s.get_many(["a", "b"]), BEFORE),
    "scan": (listed, BEFORE),
    "ttl": (lambda s: s.ttl("a"), BEFORE),
    "expire": (lambda s: s.expire("a", 60), BEFORE),
}


async def as_coroutine(work: Callable[[SimulatedBackend], Awaitable[Any]], store: SimulatedBackend) -> None:
    await work(store)


async def entries(store: SimulatedBackend) -> Entries:
    """Return what is stored, apart from what the atomic tools note for themselves."""
    page = await store.scan("*")
    return {key: value for key, value in page.items if not key.startswith(("idempotency:", "lease_fence:"))}


async def cancelled_once(world: World, name: str, step: int, moment: Moment) -> bool:
    """Cancel the operation at its await number ``step``; tell whether it has that many."""
    work, after = CASES[name]
    disk = Disk(world)
    async with disk.backend(sweep_interval=None) as store:
        await store.set_many(BEFORE)
        rival = asyncio.ensure_future(store.increment("rival"))
        reached = await cancelled_at(as_coroutine(work, store), step, moment)
        await rival
        async with asyncio.timeout(30):
            found = await entries(store)
            assert found.pop("rival") == 1
            assert found in (BEFORE, after), f"cancelled at await {step}"
            assert reached or found == after
            assert not await store.keys("lease:*"), "a lease stays behind"
            await store.set_many(BEFORE)
            await work(store)  # nothing that would keep others out is held
    assert store.nothing_held()
    return reached


def at_each_await(once: Callable[[World, int], Awaitable[bool]], schedules: int) -> None:
    """Explore for the first, second, ... await, until ``once`` has told in no schedule that there are as many."""
    step, reached = 0, False

    async def scenario(world: World) -> None:
        nonlocal reached
        world.counts_awaits = True
        if await once(world, step):
            reached = True

    def further() -> bool:
        nonlocal step, reached
        goes_on, reached = reached, False
        step += goes_on
        return goes_on

    explore(scenario, schedules, further)
    assert step


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))
@pytest.mark.parametrize("name", CASES)
def test_at_each_await(name: str, moment: Moment) -> None:
    async def once(world: World, step: int) -> bool:
        return await cancelled_once(world, name, step, moment)

    at_each_await(once, 12)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))
def test_a_line_of_updates_goes_on_whoever_leaves_it(moment: Moment) -> None:
    async def once(world: World, step: int) -> bool:
        async with Disk(world).backend(sweep_interval=None) as store:
            others = [asyncio.ensure_future(store.increment("n")) for _ in range(3)]
            reached = await cancelled_at(store.increment("n", 100), step, moment)
            others += [asyncio.ensure_future(store.increment("n")) for _ in range(3)]
            await asyncio.gather(*others)
            assert await store.get("n") in ((6, 106) if reached else (106,))
        assert store.nothing_held()
        return reached

    at_each_await(once, 80)


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: str(moment.__name__))
def test_connect_and_disconnect_cancelled_leave_a_backend_that_works(moment: Moment) -> None:
    async def once(world: World, step: int) -> bool:
        store = Disk(world).backend()
        connecting = await cancelled_at(store.connect(), step, moment)
        await store.connect()
        await store.set("a", 1)
        disconnecting = await cancelled_at(store.disconnect(), step, moment)
        await store.disconnect()
        assert store.opened == store.closed
        async with store:
            assert await store.get("a") == 1
        return connecting or disconnecting

    at_each_await(once, 80)


def test_these_checks_find_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batcher that lets a cancelled caller stop the bulk call, between the two halves of a commit."""
    apply = Disk.apply
    lanes: dict[object, asyncio.Lock] = {}

    async def torn(self: Disk, commits: Any) -> Any:
        answers: list[Any] = []
        for commit in commits:
            for write in commit.writes:
                answers += await apply(self, [commit._replace(writes=(write,), expectations=())])
                await asyncio.sleep(0)
        return [[True] * len(commits[0].writes)] * len(commits)

    async def direct(self: Any, items: Any) -> Any:
        async with lanes.setdefault(self, asyncio.Lock()):
            return list(await self._run(list(items)))

    monkeypatch.setattr(Disk, "apply", torn)
    monkeypatch.setattr("ad_seller.storage.runtime.batcher.Batcher.submit", direct)

    with pytest.raises(AssertionError, match="cancelled at await"):
        test_at_each_await("set_many", MOMENTS[0])
