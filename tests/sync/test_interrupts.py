"""A thread that is interrupted anywhere on its way through a call: nothing is left half alive, the next call works.

An interrupt is KeyboardInterrupt, what a signal handler raises, or an exception that another thread sets. The calls
run once for each point at which it can come, from their first line on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage.runtime.sessions import connected_backends
from ad_seller.storage.sync import SyncStorage, SyncTransaction, calls, open_url
from tests.processes import run_code
from tests.sync.interrupts import SoftTimeLimitError, everywhere, is_free

pytestmark = pytest.mark.parametrize("error", [KeyboardInterrupt, SoftTimeLimitError])


def tasks() -> int:
    """Return how many tasks the event loop of the calls has."""

    async def count() -> int:
        return len(asyncio.all_tasks())

    return calls.run(count)


def settle(most: int) -> None:
    """Wait until no task is left of what was interrupted: what it held is given up behind its back."""
    give_up = time.monotonic() + 10
    while tasks() > most:
        assert time.monotonic() < give_up
        time.sleep(0.001)


def interrupted_everywhere(
    error: type[BaseException], function: Callable[[], object], look: Callable[[], object]
) -> set[str]:
    """Interrupt ``function`` at each of its points, and ``look`` at what is left; return where that was."""
    look()
    function()
    look()
    most = tasks()
    where = set()
    for one in everywhere(error, function):
        assert not calls._under_way
        look()
        settle(most)
        where.add(one)
    assert len(where) > 5
    return where


def pair(storage: SyncStorage, count: int) -> int:
    """Return what the two keys hold that are written together: both are as they were, or both one further."""
    found = storage.get_many(["a", "b"])
    assert found["a"] == found["b"] in (count, count + 1)
    value: int = found["a"]
    return value


def test_reads_and_writes(storage: SyncStorage, error: type[BaseException]) -> None:
    count = 0

    def look() -> None:
        nonlocal count
        count = pair(storage, count)
        found = storage.get("a")  # what was interrupted on its way to the engine may take effect between two reads
        assert found in (count, count + 1)
        count = found

    def write() -> None:
        storage.set_many({"a": count + 1, "b": count + 1})

    storage.set_many({"a": 0, "b": 0})
    interrupted_everywhere(error, write, look)
    interrupted_everywhere(error, lambda: storage.get("a"), look)
    interrupted_everywhere(error, lambda: list(storage.iterate("*", page_size=1)), look)


def test_a_read_that_opens_its_connection(tmp_path: Path, error: type[BaseException]) -> None:
    with open_url(f"sqlite:///{tmp_path}/s.db") as storage:
        storage.set("k", 1)
        engine: Any = storage.backend._sessions._latest.engine  # type: ignore[attr-defined]

        def read() -> None:
            engine._in_threads.close()
            storage.get("k")

        def look() -> None:
            assert is_free(engine._in_threads.busy)
            assert storage.get("k") == 1

        interrupted_everywhere(error, read, look)


def test_transactions(storage: SyncStorage, error: type[BaseException]) -> None:
    """Whoever is interrupted may begin the next transaction at once, with the old one in a variable."""
    count = 0

    def look() -> None:
        nonlocal count
        count = pair(storage, count) + 1
        with storage.transaction() as tx:
            tx.set("a", count)
            tx.set("b", count)

    def as_a_context() -> None:
        with storage.transaction() as tx:
            work(tx)

    def work(tx: SyncTransaction) -> None:
        tx.set("a", (tx.get("a") or 0) + 1)
        tx.set("b", (tx.get("b") or 0) + 1)

    storage.set_many({"a": 0, "b": 0})
    interrupted_everywhere(error, as_a_context, look)
    interrupted_everywhere(error, lambda: storage.transact(work), look)
    interrupted_everywhere(error, lambda: storage.update("c", lambda _: 1), look)


def test_requests_that_run_once(storage: SyncStorage, error: type[BaseException]) -> None:
    number = 0

    def book(tx: SyncTransaction) -> int:
        tx.set(f"deal:{number}", {"n": number})
        return number

    def look() -> None:
        nonlocal number
        assert storage.run_once("book", str(number), number, book) == number
        assert storage.get(f"deal:{number}") == {"n": number}
        number += 1

    interrupted_everywhere(error, lambda: storage.run_once("book", str(number), number, book), look)


def test_leases(storage: SyncStorage, error: type[BaseException]) -> None:
    def hold() -> None:
        with storage.lease("l", 60):
            storage.set("k", 1)

    def look() -> None:
        with storage.lease("l", 60, wait=10):
            pass

    interrupted_everywhere(error, hold, look)


def test_what_follows_a_log_or_works_on_an_outbox(storage: SyncStorage, error: type[BaseException]) -> None:
    log, outbox = storage.log("l"), storage.outbox("o")
    log.append(1)

    def follow() -> None:
        with closing(log.follow()) as entries:  # type: ignore[type-var]
            next(entries)

    def work() -> None:
        outbox.put("m")
        with closing(outbox.work(lease=60, first_pause=0.001, idle=0.01)) as messages, next(messages):  # type: ignore[type-var]
            pass

    def look() -> None:
        while outbox.waiting():
            for message in outbox.work(lease=60, first_pause=0.001, idle=0.01):
                message.done()
                break
        assert [value for _, value in log.read().items] == [1]

    interrupted_everywhere(error, follow, look)
    interrupted_everywhere(error, work, look)


def test_a_storage_as_a_context(tmp_path: Path, error: type[BaseException]) -> None:
    """What is interrupted when it begins to leave is left by hand: Python calls `__exit__` once."""
    storage = open_url(f"sqlite:///{tmp_path}/s.db")
    left_by_hand = set()

    def use() -> None:
        with storage:
            storage.set("k", 1)

    for where in everywhere(error, use):
        assert not calls._under_way
        if connected_backends():
            left_by_hand.add(where)
            storage.disconnect()
        assert connected_backends() == []
    assert left_by_hand <= {"SyncStorage.__exit__"}


FIRST = """
import os, sys, threading, time
from ad_seller.storage.sync import open_url
from tests.sync import interrupts

def one_thread():
    return sum(one.name == "ad_seller.storage.sync" and one.is_alive() for one in threading.enumerate()) <= 1

def child(at):
    interrupt = interrupts.Interrupt(getattr(interrupts, sys.argv[1], KeyboardInterrupt), at)
    interrupt.run(open_url("memory://").connect)
    with open_url("memory://") as storage:
        storage.set("k", 1)
        assert storage.get("k") == 1
    give_up = time.monotonic() + 10
    while not one_thread():
        assert time.monotonic() < give_up
        time.sleep(0.001)
    os._exit(0 if interrupt.where else 7)

open_url("memory://")  # what each child would import
code = at = 0
while code == 0:
    pid = os.fork()
    if pid == 0:
        child(at)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    at += 1
assert code == 7, (at, code)
print(at)
"""


def test_the_first_call_of_a_process(error: type[BaseException]) -> None:
    """It starts the event loop: another one must be able to, and there is one in the end."""
    done = run_code(FIRST, error.__name__, measured=False, seconds=110)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 80  # about 110; some 15 fewer where the new thread begins before it is waited for
