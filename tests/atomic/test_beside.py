"""A write on the storage itself, in a function that was given a transaction: a warning names the line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ad_seller.storage import StorageBackend, Transaction
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend

Write = Callable[[StorageBackend], Coroutine[Any, Any, object]]

WRITES: dict[str, Write] = {
    "set": lambda storage: storage.set("k", 1),
    "set_deal": lambda storage: storage.set_deal("1", {}),
    "set_many": lambda storage: storage.set_many({"k": 1}),
    "delete": lambda storage: storage.delete("k"),
    "delete_many": lambda storage: storage.delete_many(["k"]),
    "update": lambda storage: storage.update("k", lambda old: 1),
    "create": lambda storage: storage.create("k2", 1),
    "expire": lambda storage: storage.expire("k", 5),
}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "Was 'tx' meant?" in record.getMessage()]


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line is told once a process; the lines of other tests do not count."""
    monkeypatch.setattr("ad_seller.storage.atomic.beside._told", set())


@pytest.mark.parametrize("name", WRITES)
async def test_names_the_line(backend: StorageBackend, caplog: pytest.LogCaptureFixture, name: str) -> None:
    write = WRITES[name]
    await backend.set("k", 1)

    async def slip(tx: Transaction) -> None:
        await tx.set("mine", 1)
        await write(backend)  # the line that is named

    await backend.transact(slip)
    await backend.transact(slip)
    line = slip.__code__.co_firstlineno + 2
    [told] = warnings(caplog)
    assert told.startswith(f"{__file__}:{line} ")


async def test_in_a_request_and_in_a_block(backend: StorageBackend, caplog: pytest.LogCaptureFixture) -> None:
    async def slip(tx: Transaction) -> None:
        await backend.set("k", 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await backend.run_once("scope", "key", 1, slip)
    async with backend.transaction():
        await backend.set("k", 2)
    assert len(warnings(caplog)) == 2
    assert await backend.get("k") == 2


async def test_what_belongs_there_is_no_slip(backend: StorageBackend, caplog: pytest.LogCaptureFixture) -> None:
    async with MemoryBackend() as other:

        async def work(tx: Transaction) -> int:
            await other.set("k", 1)  # another store
            async with backend.lease("l", 10) as lease:
                await tx.hold(lease)
            await tx.set("k", await backend.get("j"))
            return 1

        async def request(tx: Transaction) -> int:
            await tx.set_deal("1", {})
            background.append(asyncio.create_task(backend.set("by another task", 1)))
            return 1

        background: list[asyncio.Task[None]] = []
        with pytest.raises(Exception, match="no longer held"):
            await backend.transact(work)
        await backend.run_once("scope", "key", 1, request)
        await backend.set("afterwards", 1)
        await asyncio.gather(*background)
    assert not warnings(caplog)


async def test_on_either_side_of_a_hybrid(caplog: pytest.LogCaptureFixture) -> None:
    hybrid = HybridBackend(MemoryBackend(), MemoryBackend(), routes=["session:"])
    async with hybrid as storage, storage.transaction():
        await storage.set("deal:1", 1)
        await storage.set("session:1", 1)
    assert len(warnings(caplog)) == 2
