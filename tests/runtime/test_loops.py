"""One instance in any number of event loops and threads: contract, section 5."""

from __future__ import annotations

import asyncio
import copy
import gc
import math
import pickle
import threading
import time
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from redis import Redis

from ad_seller.storage import NotConnectedError, StorageBackend
from ad_seller.storage.runtime import sessions
from tests.amounts import times
from tests.runtime.loop_jobs import RUNNERS, Run, count_up, in_threads, transfer
from tests.runtime.stores import store as store
from tests.storms import Holdings


@pytest.fixture(params=sorted(RUNNERS))
def run(request: pytest.FixtureRequest) -> Run:
    """How event loops are run."""
    return RUNNERS[request.param]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def server_connections(redis_url: str, postgres_url: str, most: float = math.inf) -> int:
    """Return how many connections the servers have; wait a while for those to end that are more than ``most``."""

    async def to_postgres() -> int:
        connection = await asyncpg.connect(postgres_url)
        try:
            clients: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            )
            return clients
        finally:
            await connection.close()

    until = time.monotonic() + 60
    while True:
        with Redis.from_url(redis_url) as client:
            now = len(client.client_list()) + asyncio.run(to_postgres())
        if now <= most or time.monotonic() > until:
            return now
        time.sleep(0.1)


def test_loops_that_leave_without_disconnect(
    store: StorageBackend, run: Run, redis_url: str, postgres_url: str
) -> None:
    """Every answer is right, and nothing is left that grows; 300 loops with AD_SELLER_ALL_TESTS=1."""
    loops = times(20, in_ci=40, at_most=300)

    async def use(number: int) -> None:
        if number == 0:
            await store.connect()
        assert await store.get("number") == (number - 1 if number else None)
        await asyncio.gather(store.set("number", number), store.set_session(f"s{number % 7}", {"n": number}))
        assert await store.increment("counter") == number + 1
        assert len(await store.list_sessions()) == min(number + 1, 7)

    held: list[tuple[int, int]] = []
    connected = 0
    for number in range(loops):
        run(use(number))
        if number in (2, loops - 1):
            gc.collect()
            held.append((threading.active_count(), descriptors()))
        if number == 2:
            connected = server_connections(redis_url, postgres_url)
    assert held[1][0] <= held[0][0]
    assert held[1][1] <= held[0][1]
    assert server_connections(redis_url, postgres_url, connected) <= connected


def test_eight_threads_with_loops_of_their_own(store: StorageBackend, run: Run) -> None:
    """Increments and transfers of all of them are exact; 500 and 25 of each with AD_SELLER_ALL_TESTS=1."""
    increments, transfers = times(20, in_ci=60, at_most=500), times(4, in_ci=10, at_most=25)

    async def begin() -> None:
        await store.connect()
        await store.set_many({"left": 1_000, "right": 0})

    async def job() -> None:
        await asyncio.gather(count_up(store, increments), transfer(store, transfers))

    async def check() -> None:
        assert await store.get("counter") == 8 * increments
        moved = 8 * transfers
        assert await store.get_many(["left", "right"]) == {"left": 1_000 - moved, "right": moved}

    run(begin())
    in_threads(run, [job] * 8)
    run(check())


def test_disconnect_while_two_other_loops_call(store: StorageBackend, run: Run) -> None:
    """Each call is answered or refused, nothing is written half, nothing stays open."""
    begun = threading.Barrier(3)
    answered: list[int] = []

    async def begin() -> None:
        await store.connect()

    async def caller(base: int) -> None:
        async def pair(number: int) -> None:
            try:
                await store.set_many({f"p:{number}:a": 1, f"p:{number}:b": 1})
            except NotConnectedError:
                return
            answered.append(number)

        await store.get("x")
        await asyncio.to_thread(begun.wait, 10)
        await asyncio.gather(*(pair(base + n) for n in range(100)))

    async def closer() -> None:
        await asyncio.to_thread(begun.wait, 10)
        await store.disconnect()

    async def check() -> None:
        async with store:
            keys = await store.keys("p:*")
        there = {key.rpartition(":")[0] for key in keys}
        assert len(keys) == 2 * len(there)
        assert {f"p:{number}" for number in answered} <= there

    run(begin())
    in_threads(run, [lambda: caller(0), lambda: caller(1_000), closer])
    if getattr(store, "path", "") != ":memory:":
        run(check())


def test_a_copy_is_not_connected_and_has_the_same_settings(store: StorageBackend) -> None:
    async def main() -> None:
        async with store:
            await store.set("key", 1)
            for other in (copy.copy(store), copy.deepcopy(store), copy.deepcopy({"held": [store]})["held"][0]):
                assert repr(other) == repr(store)
                with pytest.raises(NotConnectedError):
                    await other.get("key")
                await other.disconnect()
            assert await store.get("key") == 1

    asyncio.run(main())


def test_pickled_it_is_not_connected(store: StorageBackend) -> None:
    async def main() -> None:
        async with store:
            other = pickle.loads(pickle.dumps(store))
            with pytest.raises(NotConnectedError):
                await other.get("key")
            async with other:
                await other.set("pickled", 1)

    asyncio.run(main())


# Sockets of a loop that was closed by hand are asyncio's: it closes them when they are collected, and says so.
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_closed_without_its_runner(store: StorageBackend) -> None:
    """No asynchronous generator is ended, no task cancelled; what was open goes with the next loop's first call."""

    async def use() -> None:
        await store.connect()
        await store.increment("counter")

    held = []
    for number in range(20):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(use())
        loop.close()
        del loop
        gc.collect()  # each time: pytest keeps what a collection at any other moment complains of
        if number in (3, 19):
            held.append((threading.active_count(), descriptors()))
    assert held[1][0] <= held[0][0]
    assert held[1][1] <= held[0][1] + 4

    async def check() -> int | None:
        await store.connect()
        return await store.get("counter")

    assert asyncio.run(check()) == 20


def test_a_new_backend_in_each_loop_that_nobody_disconnects(store: StorageBackend) -> None:
    """What it had open goes with the garbage."""

    async def use() -> None:
        backend = copy.copy(store)
        await backend.connect()
        await backend.increment("counter")
        assert await backend.keys("counter") == ["counter"]

    def held() -> tuple[int, int]:
        gc.collect()
        return threading.active_count(), descriptors()

    for _ in range(3):
        asyncio.run(use())
    first = held()
    for _ in range(15):
        asyncio.run(use())
    until = time.monotonic() + 60
    while any(a > b for a, b in zip(held(), first, strict=True)):  # threads end a moment later
        assert time.monotonic() < until, (held(), first)
        time.sleep(0.05)


def test_disconnect_closes_what_a_loop_holds_that_never_runs_again(store: StorageBackend) -> None:
    loop = asyncio.new_event_loop()

    async def use() -> None:
        await store.connect()
        await store.set("key", 1)

    loop.run_until_complete(use())
    asyncio.run(store.disconnect())

    async def again() -> None:
        with pytest.raises(NotConnectedError):
            await store.get("key")

    loop.run_until_complete(again())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_a_loop_that_stops_in_the_middle_of_its_disconnect_holds_nobody_up(
    store: StorageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had not closed yet is closed by the next one; it may go on later."""
    loop = asyncio.new_event_loop()

    async def use() -> None:
        await store.connect()
        await store.set("key", 1)
        assert await store.get("key") == 1

    async def begin() -> asyncio.Task[None]:
        await use()
        leaving = asyncio.create_task(store.disconnect())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return leaving

    async def end() -> None:
        async with asyncio.timeout(20):
            await leaving

    leaving = loop.run_until_complete(begin())
    assert not leaving.done()
    monkeypatch.setattr(sessions, "_GRACE", 1_000.0)  # for which it would be waited
    in_threads(asyncio.run, [use])
    loop.run_until_complete(end())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    asyncio.run(use())


def test_two_loops_connect_and_disconnect_at_once(store: StorageBackend) -> None:
    async def live() -> None:
        for _ in range(20):
            await store.connect()
            with suppress(NotConnectedError):
                await store.set("key", 1)
            await store.disconnect()

    in_threads(asyncio.run, [live, live, live])

    async def check() -> None:
        before = Holdings()
        async with store:
            await store.set("key", 2)
            assert await store.get("key") == 2
        await before.settle()

    asyncio.run(check())
