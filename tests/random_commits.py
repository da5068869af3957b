"""Random batches of commits: what a backend makes of them is what the memory backend does."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from ad_seller.storage import KEEP
from ad_seller.storage.driver.commit import Commit, Delete, Expect, Put, Touch, Write
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.runtime.template import DriverBackend
from tests.clock import SetClock
from tests.engines import engine_of

KEYS = ["a", "b", "c", "d", "e"]
TEXTS = [b"1", b"2", b'"x"']
TTLS = (None, None, 1_000_000, 3_600_000)  #: milliseconds; one ends before the next batch, one after it
BETWEEN_BATCHES = 2_000  #: seconds; that a test lets pass by moving clocks


async def check_batches(
    storage: DriverBackend,
    clock: SetClock,
    seed: int,
    between: Callable[[], Awaitable[None]],
    ttls: tuple[int | None, ...] = TTLS,
) -> None:
    """Apply eight batches to a backend and to the memory backend, and compare outcomes and entries.

    Args:
        storage: the backend; its keys are removed first.
        clock: of the memory backend.
        seed: of the batches.
        between: is called after each batch, and can let time pass for both.
        ttls: milliseconds to choose from.
    """
    choose = random.Random(seed)
    await storage.delete_many(KEYS)
    async with MemoryBackend(clock=clock, sweep_interval=None) as model:
        for _ in range(8):
            batch = [some_commit(choose, ttls) for _ in range(choose.randrange(1, 15))]
            assert await (await engine_of(storage)).apply(batch) == await (await engine_of(model)).apply(batch)
            await between()
            assert await state(storage) == await state(model)


def some_commit(choose: random.Random, ttls: tuple[int | None, ...]) -> Commit:
    """Return a commit of a few expectations and writes."""

    def write() -> Write:
        key = choose.choice(KEYS)
        match choose.randrange(6):
            case 0:
                return Delete(key)
            case 1:
                return Touch(key, choose.choice([None, 3_600_000]))
            case 2:
                return Put(key, choose.choice(TEXTS), KEEP)
        return Put(key, choose.choice(TEXTS), choose.choice(ttls))

    expectations = [Expect(choose.choice(KEYS), choose.choice([None, *TEXTS])) for _ in range(choose.randrange(3))]
    if choose.random() < 0.5:
        return Commit((), (write(),))
    return Commit(tuple(expectations), tuple(write() for _ in range(choose.randrange(4))))


async def state(storage: DriverBackend) -> list[tuple[str, object, int | None]]:
    """Return every live key, its value, and roughly the time that it has left: servers have clocks of their own."""
    items = (await storage.scan()).items
    left = [await storage.ttl(key) for key, _ in items]
    return [
        (key, value, None if ttl is None else int(ttl // 10_000))
        for (key, value), ttl in zip(items, left, strict=True)
    ]
