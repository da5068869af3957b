"""What a namespace costs: ``python -m benchmarks.namespaces sqlite:///{folder}/store.db redis://localhost:6379/0``.

The same calls on a backend and on a namespace of it, in turns of some milliseconds within one process. The ratio is
the speed with a namespace by the speed without: the median over all pairs of turns, by the clock, and by the CPU
time of this process, which other work on the machine changes less. The control is the same call without a namespace
twice in the same turns, by CPU: what the ratio would be if a namespace cost nothing.

"a recorded day" are the 9,000 calls of `recording`, one after the other in an empty store: what an agent does.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ad_seller.storage import NamespacedBackend, StorageBackend, open_url

from .recording import PATH, recorded

ORDERS = 1000
DAYS = 11  #: pairs of turns of a recorded day
RECORD = {
    "status": "booked",
    "deal_id": "DEMO-A1B2C3D4E5F6",
    "audit_log": {"transitions": [{"actor": "agent", "note": "x" * 200}] * 2},
}

Call = Callable[[StorageBackend, int], Awaitable[Any]]
Took = tuple[float, float]  #: seconds by the clock and of CPU


async def _update(storage: StorageBackend, number: int) -> None:
    await storage.update(f"order:{number % ORDERS}", lambda order: {**order, "n": number})


async def _transact(storage: StorageBackend, number: int) -> None:
    async def work(tx: Any) -> None:
        order = await tx.get_order(str(number % ORDERS))
        await tx.set_order(str(number % ORDERS), {**order, "n": number})

    await storage.transact(work)


async def _get_many(storage: StorageBackend, number: int) -> None:
    await storage.get_many([f"order:{(number + n) % ORDERS}" for n in range(100)])


async def _whole_names(storage: StorageBackend, _: int) -> None:
    """The names of the namespace as the store itself tells them: longer ones, of which nothing is cut."""
    if isinstance(storage, NamespacedBackend):
        await storage.backend.keys(f"ns:{storage.namespace}:order:*")
    else:
        await storage.keys("order:*")


#: Each call, by how many tasks at once, and how many in one turn.
CALLS: dict[str, tuple[Call, int, int]] = {
    "get": (lambda s, n: s.get(f"order:{n % ORDERS}"), 1, 400),
    "get, 64 tasks": (lambda s, n: s.get(f"order:{n % ORDERS}"), 64, 640),
    "set, 64 tasks": (lambda s, n: s.set(f"order:{n % ORDERS}", RECORD), 64, 320),
    "update, 64 tasks": (_update, 64, 320),
    "transact, 16 tasks": (_transact, 16, 160),
    "get_many of 100": (_get_many, 1, 8),
    "keys of 1,000": (lambda s, _: s.keys("order:*"), 1, 4),
    "keys of 1,000, whole names": (_whole_names, 1, 4),
    "list of 1,000": (lambda s, _: s.list_orders(), 1, 2),
    "10 of 1,000 by a field": (lambda s, _: s.list_orders({"status": "open"}), 1, 8),
}


async def _turn(storage: StorageBackend, call: Call, tasks: int, calls: int) -> Took:
    async def some(first: int) -> None:
        for number in range(first, calls, tasks):
            await call(storage, number)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(some(first) for first in range(tasks)))
    return time.perf_counter() - began, time.process_time() - cpu


async def _fill(storage: StorageBackend) -> None:
    orders = ({**RECORD, "status": "open" if n < 10 else "booked"} for n in range(ORDERS))
    await storage.set_many({f"order:{n}": order for n, order in enumerate(orders)})
    await storage.list_orders({"status": "open"})  # makes the index of namespaces, so that both pay for theirs


async def _pairs(
    rounds: int, whole: StorageBackend, inside: StorageBackend, turn: Callable[[StorageBackend], Awaitable[Took]]
) -> str:
    """Return the ratios of ``rounds`` turns, after two that do not count."""
    ratios = []
    for number in range(rounds + 2):
        order = (whole, inside, whole) if number % 2 else (inside, whole, whole)
        took = [await turn(one) for one in order]
        plain, named = (took[0], took[1]) if number % 2 else (took[1], took[0])
        ratios.append((plain[0] / named[0], plain[1] / named[1], plain[1] / took[2][1]))
    clock, cpu, control = (statistics.median(column) for column in zip(*ratios[2:], strict=True))
    return f"{clock:.3f} by the clock, {cpu:.3f} by CPU, control {control:.3f}"


async def _day(storage: StorageBackend) -> Took:
    """Play the recorded day; the store is empty before and after."""

    async def call(_: StorageBackend, number: int) -> None:
        method, arguments = day[number]
        await getattr(storage, method)(*arguments)

    day = [(one.method, (f"{one.arguments[0]}*",) if one.method == "keys" else one.arguments) for one in recorded()]
    took = await _turn(storage, call, 1, len(day))
    await storage.delete_many(await storage.keys())
    return took


async def measure(url: str, rounds: int, only: str) -> None:
    """Print the ratios on one store, which must be empty; it is left so."""
    async with open_url(url) as whole, NamespacedBackend(whole, "publisher-a") as storage:
        if await whole.count():
            raise SystemExit(f"{whole!r} is not empty")
        try:
            if only in "a recorded day" and PATH.exists():
                print(f"{'a recorded day':26} {await _pairs(DAYS, whole, storage, _day)}", flush=True)
            for one in (whole, storage):
                await _fill(one)
            for name, (call, tasks, calls) in CALLS.items():
                if only in name:
                    turn = partial(_turn, call=call, tasks=tasks, calls=calls)
                    print(f"{name:26} {await _pairs(rounds, whole, storage, turn)}", flush=True)
        finally:
            await whole.delete_many(await whole.keys())


def main() -> None:
    """Measure on each store that is named."""
    parser = argparse.ArgumentParser(description="What a namespace costs.")
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--only", default="", help="calls whose names have this in them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for url in arguments.urls:
            print(url)
            asyncio.run(measure(url.replace("{folder}", folder), arguments.rounds, arguments.only))


if __name__ == "__main__":
    main()
