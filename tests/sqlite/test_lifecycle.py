"""Scripts that forget to close, event loops that come and go, and processes that fork."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path

import pytest

from ad_seller.storage import NotConnectedError
from ad_seller.storage.sqlite.guard import descriptors
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.processes import run_code, run_job
from tests.storms import Holdings

from .support import JOBS, execute, is_intact, write_lock_is_free

FORGETFUL = """
import asyncio, sys
from ad_seller.storage import get_storage_backend
store = get_storage_backend("sqlite", sys.argv[1])

async def main():
    await store.connect()
    await store.set("key", 1)
    writes = [asyncio.create_task(store.set(f"key{n}", "x" * 5000)) for n in range(500)]
    listing = asyncio.create_task(store.keys())
    await asyncio.sleep(float(sys.argv[2]))
    {end}

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", [0, 0.002, 0.2])
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("raise KeyError('of the application')", 1),
        ("sys.exit(store.x)", 1),
    ],
)
def test_a_script_that_forgets_to_disconnect_ends(end: str, code: int, moment: float, path: Path) -> None:
    done = run_code(FORGETFUL.replace("{end}", end), path, moment, seconds=60)
    assert done.returncode == code
    noise = [
        line for line in done.stderr.splitlines() if "Exception" in line or "Warning" in line or "Fatal" in line
    ]
    assert noise == []
    assert execute(path, "SELECT value FROM kv_store WHERE key = 'key'") == [("1",)]
    assert is_intact(path)


def test_a_second_event_loop_after_the_first_has_ended(path: Path) -> None:
    store = SQLiteBackend(str(path))

    async def use(number: int) -> None:
        if number:
            assert await store.get("key") == number - 1
        await store.connect()
        await store.set("key", number)
        assert await store.get("key") == number

    async def last() -> None:
        await store.connect()
        assert await store.get("key") == 4
        before = Holdings()
        await store.disconnect()
        await before.settle()

    for number in range(5):
        asyncio.run(use(number))
        gc.collect()
    threads = threading.active_count()
    asyncio.run(last())
    give_up = time.monotonic() + 30
    while threading.active_count() >= threads and time.monotonic() < give_up:
        time.sleep(0.01)  # they have been told to end
    assert threading.active_count() < threads


async def test_a_store_that_only_reads_by_key_has_one_connection(path: Path) -> None:
    """Opening a second one is an eighth of what opening costs."""
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
    status = path.stat()

    def connections() -> int:
        return len(descriptors()[status.st_dev, status.st_ino])

    async with SQLiteBackend(str(path), sweep_interval=None) as store:
        assert await store.get("key") == 1
        assert connections() == 1
        await store.set("key", 2)
        assert await store.get("key") == 2
        assert connections() == 2


async def test_the_thread_for_listings_begins_with_the_first(path: Path) -> None:
    async with SQLiteBackend(str(path)) as store:
        await store.set("key", 1)
        assert await store.get("key") == 1
        threads = threading.active_count()
        assert await asyncio.gather(*(store.keys() for _ in range(8))) == [["key"]] * 8
        assert threading.active_count() == threads + 1
    assert write_lock_is_free(path)


def test_what_ended_event_loops_left_is_given_back(path: Path) -> None:
    store = SQLiteBackend(str(path))

    async def use() -> None:
        await store.connect()
        await store.set("key", 1)
        for number in range(20):  # some of them are still under way when the loop ends
            asyncio.ensure_future(store.set(f"key{number}", "x" * 10_000)).add_done_callback(lambda _: None)
        await asyncio.sleep(0)

    async def held() -> Holdings:
        await store.connect()
        await store.disconnect()
        return Holdings()

    async def check(before: Holdings) -> None:
        await held()
        await before.settle()

    asyncio.run(use())
    before = asyncio.run(held())
    for _ in range(30):
        asyncio.run(use())
    asyncio.run(check(before))


def test_each_event_loop_its_own_instance(path: Path) -> None:
    async def count_up() -> None:
        async with SQLiteBackend(str(path)) as store:
            for _ in range(50):
                await store.increment("counter")

    threads = [threading.Thread(target=asyncio.run, args=(count_up(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert execute(path, "SELECT value FROM kv_store") == [("200",)]


@pytest.mark.parametrize("instance", ["the parent's", "a new one"])
def test_a_forked_child_gets_a_clear_error_and_the_parent_goes_on(instance: str, path: Path) -> None:
    """SQLite must not be used on a file that the parent had open at the fork: that destroys the file."""
    done = run_job(JOBS, "fork_while_connected", path, instance)
    assert "forked" in done.stdout or "parent process" in done.stdout, done.stdout
    rows = execute(path, "SELECT substr(key, 1, 6), count(*) FROM kv_store GROUP BY 1 ORDER BY 1")
    assert rows == [("late:0", 1), ("late:1", 1), ("late:2", 1), ("parent", 301)]
    assert is_intact(path)


def test_a_forked_child_may_use_what_the_parent_has_closed_or_never_opened(path: Path) -> None:
    run_job(JOBS, "fork_while_not_connected", path)
    assert execute(path, "SELECT key FROM kv_store ORDER BY 1") == [("child",), ("parent",), ("parent again",)]
    assert is_intact(path)


async def test_connect_and_disconnect_in_any_order(path: Path) -> None:
    store = SQLiteBackend(str(path))
    before = Holdings()
    for _ in range(20):
        await asyncio.gather(*(store.connect() for _ in range(5)))
        assert store._connection is not None
        await asyncio.gather(*(store.set(f"key{number}", number) for number in range(5)))
        calls = [store.set("last", 1), store.disconnect(), store.disconnect(), store.connect(), store.disconnect()]
        await asyncio.gather(*calls)
        assert store._connection is None
    await before.settle()
    async with store:
        assert await store.count() == 6


async def test_disconnect_waits_for_what_is_under_way(path: Path) -> None:
    store = SQLiteBackend(str(path))
    await store.connect()
    await store.set_many({f"key:{number}": "x" * 100 for number in range(5000)})
    calls = [asyncio.create_task(store.set(f"late:{number}", 1)) for number in range(100)]
    listing = asyncio.create_task(store.scan("key:*"))
    update = asyncio.create_task(store.get("key:1"))
    await asyncio.sleep(0)
    await store.disconnect()
    await asyncio.gather(*calls)
    assert len((await listing).items) == 5000
    assert await update == "x" * 100
    with pytest.raises(NotConnectedError, match=r"Storage not connected\. Call connect\(\) first\."):
        await store.get("key:1")
    assert execute(path, "SELECT count(*) FROM kv_store") == [(5100,)]
