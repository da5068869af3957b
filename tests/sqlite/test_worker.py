"""The only place that touches aiosqlite's private parts: which versions have them, and what a worker does.

| used | 0.20, 0.21 | 0.22, 0.23 |
|---|---|---|
| `Connection._tx`, a queue of pairs of a future and a function | yes | yes |
| `Connection._connection`, `Connection._running` | yes | yes |
| `core._STOP_RUNNING_SENTINEL` | put into the queue itself | returned by a function |
| the thread | `Connection` is one | `Connection._thread` |

`for v in 0.20.0 0.21.0 0.22.1: pip install aiosqlite==$v, pytest tests/sqlite` was run with each.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import time
from functools import partial
from importlib.metadata import version

import aiosqlite
import pytest
from aiosqlite import core

from ad_seller.storage.sqlite.worker import Worker
from tests.storms import Holdings

VERSION = tuple(int(part) for part in version("aiosqlite").split(".")[:2])


def connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)


async def opened() -> Worker:
    worker = Worker(connect)
    await worker.open(lambda: worker.use(lambda db: None))
    return worker


def test_what_is_used_is_there() -> None:
    connection = aiosqlite.Connection(connect, iter_chunk_size=64)
    assert connection._connection is None
    assert connection._running is True
    assert hasattr(connection._tx, "put_nowait")
    assert core._STOP_RUNNING_SENTINEL is not None
    assert hasattr(connection, "_thread") is (VERSION >= (0, 22))
    assert isinstance(connection, threading.Thread) is (VERSION < (0, 22))


async def test_it_serves_several_event_loops_one_after_the_other_and_at_once() -> None:
    worker = await opened()
    seen = [await worker.run(threading.get_ident)]
    seen += [await asyncio.to_thread(asyncio.run, worker.run(threading.get_ident)) for _ in range(3)]
    assert len(set(seen)) == 1
    assert seen[0] != threading.get_ident()
    await worker.stop(worker.close)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), StopIteration(4)])
async def test_an_error_reaches_the_caller_and_the_thread_goes_on(error: BaseException) -> None:
    worker = await opened()

    def fail() -> None:
        raise error

    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    caught: list[BaseException] = []
    try:
        await worker.run(fail)
    except BaseException as seen:  # KeyboardInterrupt and its kin too
        caught.append(seen)
    assert [type(one) for one in caught] == [expected]
    assert await worker.run(lambda: 5) == 5
    await worker.stop(worker.close)


async def test_an_answer_for_an_event_loop_that_has_ended_is_dropped() -> None:
    worker = await opened()
    begun, go = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        go.wait(10)
        return 1

    async def leave() -> None:
        task = asyncio.ensure_future(worker.run(slow))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()

    await asyncio.to_thread(asyncio.run, leave())
    go.set()
    assert await worker.run(lambda: 2) == 2
    await worker.stop(worker.close)


async def test_stop_ends_the_thread_after_what_is_under_way() -> None:
    before = Holdings()
    worker = await opened()
    done: list[int] = []

    def note(number: int) -> None:
        time.sleep(0.001)
        done.append(number)

    works = [asyncio.ensure_future(worker.run(partial(note, number))) for number in range(20)]
    await asyncio.sleep(0)
    await worker.stop(worker.close)
    assert done == list(range(20))
    await asyncio.gather(*works)
    await before.settle()
    await Worker(connect).stop(worker.close)  # never started


async def test_a_connection_that_cannot_be_opened_can_be_tried_again() -> None:
    tries = 0

    def connector() -> sqlite3.Connection:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise sqlite3.OperationalError("not yet")
        return connect()

    worker = Worker(connector)
    with pytest.raises(sqlite3.OperationalError, match="not yet"):
        await worker.open(lambda: worker.use(lambda db: None))
    await worker.open(lambda: worker.use(lambda db: None))
    assert worker.connection._connection is worker.db is not None
    await worker.stop(worker.close)
    assert worker.connection._connection is None


async def test_another_thread_closes_it_between_two_uses_and_the_next_opens_it_anew() -> None:
    worker = await opened()
    first = worker.db
    worker.close()
    assert worker.db is None
    second = await worker.run(lambda: worker.use(lambda db: db))
    assert second is not first
    await worker.stop(worker.close)


async def test_its_thread_does_not_keep_a_script_alive_and_warns_nobody() -> None:
    worker = await opened()
    assert worker._thread.daemon
    await worker.stop(worker.close)
    del worker
    gc.collect()
