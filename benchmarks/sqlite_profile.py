"""Whose each microsecond of a `set` on SQLite is: `python -m benchmarks.sqlite_profile`.

Each part is done by itself, over and over, for batches of 1, 64 and 512 calls, among 20,000 quotes of 218 bytes
with `synchronous=NORMAL`, so that the disk has no part in it. Figures are microseconds of computing time a call, of
all threads, in the best round. The last lines are the calls as a whole, and what the parts do not explain: caches
that are cold when each part takes its turn, the collector, coroutines that call each other.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ad_seller.storage.atomic.beside import warn_if_inside
from ad_seller.storage.driver.commit import Commit, Put
from ad_seller.storage.driver.engine import Tell
from ad_seller.storage.records.codec import encode
from ad_seller.storage.records.expiry import check_ttl
from ad_seller.storage.records.keys import check_key
from ad_seller.storage.runtime.batcher import Batcher
from ad_seller.storage.sqlite import statements
from ad_seller.storage.sqlite.database import Database
from ad_seller.storage.sqlite_backend import SQLiteBackend

from .data import filler_key, value

SIZES = (1, 64, 512)
ROUNDS = 9
CALLS = 4_096
QUOTES = 20_000

KEYS = [filler_key(number) for number in range(QUOTES)]
Part = Callable[[int], Awaitable[None]]  #: what makes `CALLS` calls, in batches of so many
_revision = itertools.count(1_000_000)


def some_keys() -> list[str]:
    return random.choices(KEYS, k=CALLS)


def commits(keys: list[str]) -> list[Commit]:
    return [Commit((), (Put(key, encode(value(key, "s", next(_revision))), None),)) for key in keys]


class Parts:
    """The parts of a call, each with the state that it needs."""

    def __init__(self, store: SQLiteBackend, database: Database) -> None:
        self.store = store
        self.database = database
        self.loop = asyncio.get_running_loop()
        self.batcher: Batcher[int, int] = Batcher(self._never, explain=_same, timeout=5.0, begin=_at_once)
        writer = database.writer
        assert writer.db is not None
        self.db = writer.db

    async def _never(self, items: list[int]) -> list[int]:
        raise AssertionError(items)

    # --- on the event loop -----------------------------------------------------------------------------

    async def futures(self, size: int) -> None:
        """Tasks that wait for a future each: what asyncio takes for a call that is answered from elsewhere."""
        waiting: list[asyncio.Future[None]] = []

        async def wait() -> None:
            for _ in range(CALLS // size):
                waiting.append(future := self.loop.create_future())
                await future

        work = asyncio.gather(*(wait() for _ in range(size)))
        while not work.done():
            await asyncio.sleep(0)
            for future in waiting:
                future.set_result(None)
            waiting.clear()

    async def batching(self, size: int) -> None:
        """The same through the batcher, whose bulk call is done at once."""

        async def submit() -> None:
            for _ in range(CALLS // size):
                await self.batcher.submit([1])

        await asyncio.gather(*(submit() for _ in range(size)))

    async def encoding(self, _: int) -> None:
        rows = [(key, value(key, "s", next(_revision))) for key in some_keys()]
        self.mark()
        for key, row in rows:
            encode(row, key=check_key(key))

    async def describing(self, _: int) -> None:
        for key in KEYS[:CALLS]:
            Commit((), (Put(key, b"", check_ttl(None, key=key)),))
            warn_if_inside(self.store)
            self.store._sessions.here()

    # --- on the thread ---------------------------------------------------------------------------------

    async def hops(self, size: int) -> None:
        for _ in range(CALLS // size):
            await self.database.writer.run(_nothing)

    async def locking(self, size: int) -> None:
        lock = self.database._writers
        for _ in range(CALLS // size):
            lock.take()
            lock.give_back()

    async def looking(self, size: int) -> None:
        file = self.database._file
        assert file is not None
        for _ in range(2 * (CALLS // size)):
            file.check()

    async def empty(self, size: int) -> None:
        for _ in range(CALLS // size):
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute("COMMIT")

    async def rows(self, size: int) -> None:
        batches = [_rows(commits(some_keys()[:size])) for _ in range(CALLS // size)]
        self.mark()
        for batch in batches:
            self.db.execute("BEGIN IMMEDIATE")
            self.db.executemany(statements._PUT, batch)
            self.db.execute("COMMIT")

    async def applying(self, size: int) -> None:
        batches = [commits(some_keys()[:size]) for _ in range(CALLS // size)]
        self.mark()
        for batch in batches:
            statements.apply(self.db, batch, time.time)

    # --- all of it -------------------------------------------------------------------------------------

    async def calls(self, size: int) -> None:
        work = [
            [(key, value(key, "s", next(_revision))) for key in some_keys()[: CALLS // size]] for _ in range(size)
        ]
        self.mark()

        async def task(rows: list[tuple[str, Any]]) -> None:
            for key, row in rows:
                await self.store.set(key, row)

        await asyncio.gather(*(task(rows) for rows in work))

    # --- the clock -------------------------------------------------------------------------------------

    def mark(self) -> None:
        """Begin to count here: what came before was preparation."""
        self.began = time.process_time()

    async def least(self, part: Part, size: int) -> float:
        best = float("inf")
        for _ in range(ROUNDS):
            self.mark()
            await part(size)
            best = min(best, time.process_time() - self.began)
        return best / CALLS * 1e6


def _same(error: BaseException, _: object) -> BaseException:
    return error


def _at_once(items: list[int], tell: Tell[int]) -> None:
    tell(items, None)


def _nothing() -> None:
    pass


def _rows(batch: list[Commit]) -> list[Any]:
    return [statements._lone_row(commit, 0.0) for commit in batch]


async def table(parts: Parts) -> list[tuple[str, list[float]]]:
    """The lines: what it is, and the microseconds of a call in batches of each size."""
    found = {
        name: [await parts.least(getattr(parts, name), size) for size in SIZES]
        for name in ("futures", "batching", "encoding", "describing", "hops", "locking", "looking", "empty", "rows",
                     "applying", "calls")
    }  # fmt: skip

    def less(one: str, other: str) -> list[float]:
        return [a - b for a, b in zip(found[one], found[other], strict=True)]

    lines = [
        ("asyncio: a task that waits for a future", found["futures"]),
        ("loop: request, batch and answer", less("batching", "futures")),
        ("loop: check the key, encode the value", found["encoding"]),
        ("loop: the commit as data, session, transaction", found["describing"]),
        ("asyncio and kernel: to the thread and back", found["hops"]),
        ("thread: the lock that a copy does not take away", found["locking"]),
        ("thread: two looks at the folder", found["looking"]),
        ("SQLite: BEGIN and COMMIT of nothing", found["empty"]),
        ("SQLite: the rows (`executemany`), and their COMMIT", less("rows", "empty")),
        ("thread: commits to rows, outcomes", less("applying", "rows")),
    ]
    total = [sum(column) for column in zip(*(numbers for _, numbers in lines), strict=True)]
    rest = [whole - part for whole, part in zip(found["calls"], total, strict=True)]
    return [*lines, ("the parts together", total), ("`set`", found["calls"]), ("what they do not explain", rest)]


async def main() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        async with SQLiteBackend(str(path), synchronous="NORMAL", sweep_interval=None) as store:
            for start in range(0, QUOTES, 1_000):
                await store.set_many({key: value(key, "s") for key in KEYS[start : start + 1_000]})
            await asyncio.sleep(0.2)  # the folder has been quiet for a while, as in a process that runs
            database = store._shared.current
            assert database is not None
            print("| µs of computing time a call | 1 task | 64 tasks | 512 tasks |\n|---|---|---|---|")
            for name, numbers in await table(Parts(store, database)):
                print(f"| {name} | " + " | ".join(f"{number:.1f}" for number in numbers) + " |")


if __name__ == "__main__":
    asyncio.run(main())
