"""Faults that look themselves whether somebody is harmed: a store beside the clients, with entries of its own.

What they find is an AssertionError, which becomes a violation of the round.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from ad_seller.storage import StorageBackend, StorageError, UnknownOutcomeError
from tests.proxy import Proxy

from .client import connected
from .clients import Clients
from .faults import Fault

OpenStore = Callable[..., StorageBackend]

#: 9 MiB, which no server can press together; two of these are more than one call carries, on Redis and PostgreSQL.
_LARGE = random.Random(0).randbytes(9 << 19).hex()
PATIENCE = 20.0  #: seconds until a server must have come back, or another have taken over
TIMEOUT = 5.0  #: seconds that a call waits here

_numbers = itertools.count(1)


def own_name() -> str:
    """Return what the entries of a fault begin with: those of no other."""
    return f"beside:{os.getpid()}.{next(_numbers)}"


# --- a batch that takes several calls --------------------------------------------------------------------


def split_batch(open_store: OpenStore, end: Callable[[], object], begin: Callable[[], object]) -> Fault:
    """Return the fault that a server dies between the calls that carry one tick's writes.

    Each of their callers must have been told what became of its own.

    Args:
        open_store: a store on the server.
        end: ends the server as a crash does.
        begin: brings it back, or another one in its place.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        asyncio.run(_split(open_store, end, begin, chance.choice((0.0, 0.0, 0.01, 0.1))))

    return run


async def _split(
    open_store: OpenStore, end: Callable[[], object], begin: Callable[[], object], later: float
) -> None:
    name = own_name()
    first, small, second = (f"{name}:{{s}}:{part}" for part in ("first", "small", "second"))
    wanted = {first: _LARGE, small: 1, second: _LARGE}
    async with open_store(timeout=TIMEOUT) as store:
        dying = asyncio.create_task(asyncio.to_thread(_end_when_there, open_store, first, later, end))
        calls = store.set(first, _LARGE), store.create(small, 1), store.set(second, _LARGE)
        told = await asyncio.gather(*calls, return_exceptions=True)
        await dying
        await asyncio.to_thread(begin)
        found = await _at_last(lambda: store.get_many(wanted))
        await _at_last(lambda: store.delete_many(wanted))
    for (key, value), outcome in zip(wanted.items(), told, strict=True):
        _judge(key, value, outcome, found)


def _end_when_there(open_store: OpenStore, key: str, later: float, end: Callable[[], object]) -> None:
    """End the server when an entry can be read, or a little later."""

    async def wait() -> None:
        until = time.monotonic() + 2
        async with open_store(timeout=TIMEOUT) as store:
            while not await store.exists(key) and time.monotonic() < until:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
            time.sleep(later)
            end()

    asyncio.run(wait())


def _judge(key: str, value: object, outcome: object, found: Mapping[str, object]) -> None:
    if isinstance(outcome, UnknownOutcomeError):
        return
    if isinstance(outcome, StorageError):
        assert key not in found, f"{key} is there, and its caller was told: {outcome}"
    else:
        assert not isinstance(outcome, BaseException), f"no error for callers: {outcome!r}"
        assert found.get(key) == value, f"{key} was acknowledged and is not there"


async def _at_last(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call until there is an answer: what is called may be done more than once."""
    until = time.monotonic() + 2 * PATIENCE
    while True:
        try:
            return await call()
        except StorageError as error:
            if time.monotonic() > until:
                raise AssertionError(f"the servers do not come back: {error}") from error
        await asyncio.sleep(0.05)


# --- one that is refused ---------------------------------------------------------------------------------


def refused_neighbour(open_store: OpenStore, refusing: Callable[[str], AbstractAsyncContextManager[None]]) -> Fault:
    """Return the fault that the server refuses some writes; what it would take alone, it takes beside those.

    Args:
        open_store: a store on the server.
        refusing: has the server refuse to store under keys that begin with a text, for the length of a block.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        asyncio.run(_beside_refused(open_store, refusing))

    return run


async def _beside_refused(
    open_store: OpenStore, refusing: Callable[[str], AbstractAsyncContextManager[None]]
) -> None:
    name = own_name()
    old = [f"{name}:old:{number}" for number in range(10)]
    async with open_store(timeout=TIMEOUT) as store:
        await store.set_many(dict.fromkeys(old, 1))
        async with refusing(f"{name}:new"):
            for number, key in enumerate(old):
                calls = store.set(f"{name}:new:{number}", 1), store.delete(key)
                stored, deleted = await asyncio.gather(*calls, return_exceptions=True)
                assert isinstance(stored, StorageError), f"it was to be refused: {stored!r}"
                assert deleted is True, f"a delete beside a set that was refused: {deleted!r}"
        assert await store.count(f"{name}:*") == 0


# --- connections that are dropped without a sign ---------------------------------------------------------


def dropped(proxy: Proxy, open_store: OpenStore) -> Fault:
    """Return the fault that a firewall forgets all connections that there are, without a word to either side.

    Of our own calls, one after the other, one at most fails: then the other connections are in doubt, too.
    """

    def run(clients: Clients, chance: random.Random) -> None:
        def drop() -> list[StorageError]:
            return asyncio.run(_drop(proxy, partial(open_store, timeout=2.0)))

        if len(failures := drop()) > 1:
            failures = drop()  # a busy machine may answer late, but not each time
        assert len(failures) <= 1, f"one call after the other failed: {failures}"

    return run


async def _drop(proxy: Proxy, open_store: OpenStore) -> list[StorageError]:
    store = open_store()
    await connected(store)
    try:
        proxy.hold = True
        reads = []
        for _ in range(4):  # one connection each, as far as there are so many
            reads.append(asyncio.create_task(store.get("beside")))
            await asyncio.sleep(0.01)
        proxy.hold = False
        await asyncio.gather(*reads, return_exceptions=True)
        proxy.behave()
        proxy.era += 1
        failures: list[StorageError] = []
        for _ in range(6):
            if len(failures) < 2 and (error := await _failure(store)) is not None:
                failures.append(error)
    finally:
        await store.disconnect()
    return failures


async def _failure(store: StorageBackend) -> StorageError | None:
    try:
        await store.get("beside")
    except StorageError as error:
        return error
    return None
