"""A log is followed while processes with clocks apart append and are killed: nothing missed, nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from ad_seller.storage import LogEntry

from .support import Address, Worker, workers

APART = 2.0  #: seconds between the first and the last of the writers' clocks
WRITERS = 4
APPENDS = 100  #: of each while the others are there, at least


async def test_four_writers_with_clocks_apart_that_are_killed(address: Address) -> None:
    given: list[LogEntry] = []
    more = asyncio.Event()
    with workers(WRITERS, address, "append", APART) as writers, ThreadPoolExecutor(WRITERS) as threads:
        async with address.open() as storage:
            log = storage.log("event", by=("writer", "odd"))
            reader = asyncio.ensure_future(_read(log.follow(), given, more))
            for writer in writers:
                writer.go()
            acknowledged: list[list[int]] = [[] for _ in writers]
            told = [threads.submit(_note, *each) for each in zip(writers, acknowledged, strict=True)]
            for writer, said in zip(writers, acknowledged, strict=True):
                enough = len(said) + APPENDS
                async with asyncio.timeout(60):
                    while len(said) < enough:  # noqa: ASYNC110 - a thread fills it
                        await asyncio.sleep(0.01)
                writer.process.kill()
            for future in told:
                await asyncio.wrap_future(future)
            stored = {entry_id for entry_id, _ in (await log.read()).items}
            async with asyncio.timeout(20):
                while len(given) < len(stored):
                    more.clear()
                    await more.wait()
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            some = [value for _, value in (await log.read(writer=2, newest=True, limit=3)).items]
    assert sorted(entry.id for entry in given) == sorted(stored), "each once"
    for number, counts in enumerate(acknowledged):
        got = [entry.value["n"] for entry in given if entry.value["writer"] == number]
        assert got == list(range(len(got))), "in the order of the appends"
        assert len(got) >= len(counts) > 0, "whatever was acknowledged"
    assert [entry["n"] for entry in some] == sorted((entry["n"] for entry in some), reverse=True)


async def _read(entries: AsyncIterator[LogEntry], given: list[LogEntry], more: asyncio.Event) -> None:
    async for entry in entries:
        given.append(entry)
        more.set()


def _note(writer: Worker, said: list[int]) -> None:
    """Note what a writer says until its end; the last line may be torn by it."""
    with contextlib.suppress(ValueError):
        while (line := writer.line()) is not None:
            said.append(line)
