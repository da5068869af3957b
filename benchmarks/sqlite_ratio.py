"""What opening and an index cost on SQLite: `python -m benchmarks.sqlite_ratio`.

Opening, a first get and closing, and a lone set, beside naive aiosqlite; an order beside one without its index.

Each round has both sides, in turning order; the figures are medians of the rounds' ratios, by the clock and by the
computing time of the process. Writes are `synchronous=FULL`, among 20,000 quotes and 10,000 orders.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ad_seller.storage.sqlite_backend import SQLiteBackend

from .contenders.ours import SQLite
from .contenders.sqlite_plain import Naive
from .data import filler_key, order_key, record, value

ROUNDS = 15
OPENINGS = 20  #: in one round
SETS = 200
ORDERS = 512
TASKS = 64

opened: list[SQLite | Naive] = []  #: to be closed at the end
Work = Callable[[int], Awaitable[None]]


async def opening(place: Path, contender: type[SQLite | Naive]) -> Work:
    """Open, get once, close, again and again."""
    store = contender(str(place))
    await store.open()
    await store.set(order_key(1), value(order_key(1), "s"))
    await store.close()

    async def work(_: int) -> None:
        for _ in range(OPENINGS):
            store = contender(str(place))
            await store.open()
            assert await store.get(order_key(1)) is not None
            await store.close()

    return work


async def setting(place: Path, contender: type[SQLite | Naive]) -> Work:
    """Put any of 20,000 quotes, one after the other."""
    store = contender(str(place))
    await store.open()
    await store.fill((key, value(key, "s")) for key in map(filler_key, range(20_000)))

    async def work(turn: int) -> None:
        for n in range(SETS):
            key = filler_key((turn * SETS + n) * 7_919 % 20_000)
            await store.set(key, value(key, "s", 1_000_000 + turn * SETS + n))

    opened.append(store)
    return work


async def ordering(store: SQLiteBackend, *, new: bool) -> Work:
    """Put orders, by 64 tasks: new ones, or another status for old ones."""
    for start in range(0, 20_000, 1_000):
        await store.set_many({key: value(key, "s") for key in map(filler_key, range(start, start + 1_000))})
    await store.set_many({key: record(key, n) for n, key in enumerate(map(order_key, range(10_000)))})

    async def task(first: int, turn: int) -> None:
        for n in range(first, ORDERS, TASKS):
            number = 10_000 + turn * ORDERS + n if new else (turn * 7_919 + n * 31) % 10_000
            await store.set(order_key(number), record(order_key(number), turn + n))

    async def work(turn: int) -> None:
        await asyncio.gather(*(task(first, turn) for first in range(TASKS)))

    return work


async def compare(title: str, mine: Work, other: Work) -> None:
    """Print how many times as fast the first is as the second."""
    ratios = []
    for turn in range(ROUNDS):
        took = {}
        for work in (mine, other) if turn % 2 else (other, mine):
            began, computed = time.perf_counter(), time.process_time()
            await work(turn)
            took[work] = time.perf_counter() - began, time.process_time() - computed
        ratios.append([b / a for a, b in zip(took[mine], took[other], strict=True)])
    wall, cpu = (sorted(column) for column in zip(*ratios, strict=True))
    print(f"{title}: {median(wall):.2f} ({wall[0]:.2f} to {wall[-1]:.2f}), by computing time {median(cpu):.2f}")


async def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("ours", "naive"):
            (folder / part).mkdir()
        sides = await opening(folder / "ours", SQLite), await opening(folder / "naive", Naive)
        await compare("open, first get, close, to naive aiosqlite", *sides)
        for part in ("ours-sets", "naive-sets"):
            (folder / part).mkdir()
        sides = await setting(folder / "ours-sets", SQLite), await setting(folder / "naive-sets", Naive)
        await compare("set, 1 task, to naive aiosqlite", *sides)
        for store in opened:
            await store.close()
        for new in (True, False):
            paths = [str(folder / f"{new}-{indexes}.db") for indexes in ("with", "without")]
            async with SQLiteBackend(paths[0]) as one, SQLiteBackend(paths[1], indexes=[]) as two:
                sides = await ordering(one, new=new), await ordering(two, new=new)
                await compare(f"{'new' if new else 'changed'} order, to one without its index", *sides)


if __name__ == "__main__":
    asyncio.run(main())
