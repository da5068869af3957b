"""What other processes do in these tests: ``python -m tests.atomic.jobs '[address, job, arguments]'``.

A process connects, says "ready", waits for a line and runs its job; it says what the job returns as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import time
import warnings
from typing import Any

from ad_seller.storage import LeaseHeldError, LeaseLostError, StorageBackend, Transaction
from examples.api_keys import KeyRefusedError, use_key
from examples.booking import QuoteTakenError, book

from .support import Address


def say(what: Any) -> None:
    print(json.dumps(what), flush=True)


async def increment(storage: StorageBackend, key: str, tasks: int, times: int, _: int) -> None:
    async def count() -> None:
        for _ in range(times):
            await storage.increment(key)

    await asyncio.gather(*(count() for _ in range(tasks)))


async def update(storage: StorageBackend, key: str, tasks: int, times: int, _: int) -> list[Any]:
    """Add one to a field, and note which number came out; return how often `change` ran, and the longest call."""
    runs = 0
    seconds: list[float] = []

    def change(record: dict[str, Any] | None) -> dict[str, Any]:
        nonlocal runs
        runs += 1
        return (record or {"label": "kept"}) | {"n": (record or {}).get("n", 0) + 1}

    async def count() -> None:
        for _ in range(times):
            began = time.perf_counter()
            await storage.update(key, change)
            seconds.append(time.perf_counter() - began)

    await asyncio.gather(*(count() for _ in range(tasks)))
    return [runs, seconds]


async def add_sessions(storage: StorageBackend, buyer: str, count: int, number: int) -> None:
    names = [f"s{number}-{n}" for n in range(count)]
    await asyncio.gather(*(storage.add_session_to_buyer_index(name, buyer) for name in names))


async def book_quotes(storage: StorageBackend, quotes: int, tries: int, number: int) -> int:
    """Try to book each quote several times at once; return how many bookings succeeded."""
    booked = 0
    for quote in range(quotes):
        calls = [book(storage, f"buyer-{number}-{n}", f"request-{quote}", f"qt-{quote}") for n in range(tries)]
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(answer, BaseException) and not isinstance(answer, QuoteTakenError):
                raise answer
            booked += not isinstance(answer, BaseException)
    return booked


async def count_uses(storage: StorageBackend, keys: int, number: int) -> int:
    """Use each key until it is refused; return how often that went well."""
    used = 0

    async def use_up(name: str) -> None:
        nonlocal used
        try:
            while True:
                await use_key(storage, name)
                used += 1
        except KeyRefusedError:
            pass

    await asyncio.gather(*(use_up(f"k{n}") for n in range(keys)))
    return used


async def same_requests(storage: StorageBackend, requests: int, number: int) -> list[Any]:
    """Send the same idempotent requests as the other processes; return the answers."""

    async def send(request: int) -> Any:
        async def work(tx: Transaction) -> dict[str, Any]:
            await tx.set(f"ran:{request}:{os.getpid()}", True)
            return {"request": request, "by": os.getpid()}

        return await storage.run_once("test", f"request-{request}", {"n": request}, work)

    return await asyncio.gather(*(send(request) for request in range(requests) for _ in range(2)))


async def hold_lease(storage: StorageBackend, name: str, times: int, number: int) -> list[list[Any]]:
    """Take a lease several times; return [fence, since, until] of each hold, on the machine's clock."""
    holds: list[list[Any]] = []
    while len(holds) < times:
        try:
            async with storage.lease(name, 5, wait=10) as lease:
                since = time.monotonic()
                await asyncio.sleep(0.005)
                holds.append([lease.fence, since, time.monotonic()])
        except LeaseHeldError:
            continue
    return holds


async def keep_lease(storage: StorageBackend, name: str, ttl: float, number: int) -> str:
    """Hold a lease until it is lost, or this process is killed."""
    try:
        async with storage.lease(name, ttl) as lease:
            say(["held", lease.fence])
            await asyncio.sleep(30)
    except LeaseLostError:
        return "lost"
    return "kept"


async def commit_late(storage: StorageBackend, name: str, ttl: float, number: int) -> str:
    """Take a lease, hang until there is a line, and commit with the lease before anything else can run."""
    try:
        async with storage.lease(name, ttl) as lease:
            say(["held", lease.fence])
            sys.stdin.readline()
            async with storage.transaction() as tx:
                await tx.hold(lease)
                await tx.set("written by", number)
    except LeaseLostError:
        return "lost"
    return "kept"


async def deliver(storage: StorageBackend, last: str, number: int) -> list[str]:
    """Deliver messages up to the ``last``; "poison" kills this process, as a system without memory does."""
    delivered = []
    async for message in storage.outbox("hooks").work(first_pause=0.01, longest_pause=0.02, horizon=0.001):
        if message.value == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        await message.done()
        delivered.append(message.value)
        if message.value == last:
            break
    return delivered


async def append(storage: StorageBackend, apart: float, number: int) -> None:
    """Append to a log and say what was acknowledged, until this process is killed; clocks differ by ``apart``."""
    real, offset = time.time_ns, int((number - 1.5) / 3 * apart * 1e9)
    time.time_ns = lambda: real() + offset
    log = storage.log("event", by=("writer", "odd"))
    for count in itertools.count():
        await log.append({"writer": number, "n": count, "odd": count % 2 == 1})
        say(count)


async def search_in_turns(storage: StorageBackend, questions: list[dict[str, Any]]) -> None:
    """Store some records and say the keys that each question finds, each time that a line comes."""
    for turn in itertools.count():
        await storage.set_many({f"ticket:b{n}": {"owner": f"o{(n + turn) % 3}", "team": f"t{n}"} for n in range(6)})
        say([[key for key, _ in (await storage.find("ticket", where)).items] for where in questions])
        await asyncio.to_thread(sys.stdin.readline)


async def main() -> None:
    warnings.simplefilter("error")
    address, job, arguments = json.loads(sys.argv[1])
    async with Address(*address).open() as storage:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        say(await globals()[job](storage, *arguments))


if __name__ == "__main__":
    asyncio.run(main())
