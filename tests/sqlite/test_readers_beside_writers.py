"""A loop that has only read reads over the connection that writes, which other loops' threads keep busy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from ad_seller.storage.sqlite.engine import SQLiteEngine
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.engines import engine_of

_LOOPS = 2  #: that write
_ROUNDS = 60  #: of each
_BETWEEN = 300  #: entries that a commit writes before its last, so that it takes a while


def _names(writer: int) -> list[str]:
    """Return the names in the order in which a commit writes them; all of them hold the same number."""
    return [f"{part}:{writer}" for part in ("first", "last")]


async def _write(store: SQLiteBackend, writer: int) -> None:
    """Write numbers that rise, and what nobody may ever see."""
    first, last = _names(writer)
    between = [f"between:{writer}:{n}" for n in range(_BETWEEN)]
    for number in range(1, _ROUNDS + 1):
        cancelled = asyncio.ensure_future(store.set(f"cancelled:{writer}", number))
        await asyncio.sleep(0)  # it is on its way
        cancelled.cancel()
        told = await asyncio.gather(
            store.set_many(dict.fromkeys((first, *between, last), number)),
            store.increment(f"counter:{writer}"),
            store.compare_and_set(f"counter:{writer}", -1, -2),
        )
        assert (told[1], told[2]) == (number, False)


async def _read(store: SQLiteBackend, all_is_written: threading.Event) -> None:
    """Read until all is written, and once more."""
    engine = await engine_of(store)
    assert isinstance(engine, SQLiteEngine)
    seen: dict[str, int] = {}

    async def get(name: str) -> int:
        number: int = await store.get(name) or 0
        assert number >= seen.get(name, 0), f"{name} was refused, or went back: {number} after {seen.get(name)}"
        seen[name] = number
        return number

    is_last = False
    while not is_last:
        is_last = all_is_written.is_set()
        for writer in range(_LOOPS):
            names = _names(writer)
            numbers = [await get(name) for name in names]
            assert numbers == sorted(numbers), f"torn: {numbers}"
            numbers = [await get(name) for name in reversed(names)]
            assert numbers == sorted(numbers), f"torn, from the last to the first: {numbers}"
            together = await store.get_many(names)
            assert len(set(together.values())) <= 1, f"torn: {together}"
            await get(f"counter:{writer}")
            await get(f"cancelled:{writer}")
    assert engine._near is not engine._local, "not read over the connection that writes"
    assert {seen[name] for writer in range(_LOOPS) for name in (*_names(writer), f"counter:{writer}")} == {_ROUNDS}


async def test_a_loop_that_only_reads_sees_what_is_committed(path: Path) -> None:
    """Never half of a commit, nor one that was refused, or that is older than one it has seen."""
    together, all_is_written = threading.Barrier(_LOOPS + 1), threading.Event()

    def in_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        together.wait(60)
        asyncio.run(work())

    async with SQLiteBackend(str(path), sweep_interval=None, timeout=60) as store:
        works = [partial(_write, store, writer) for writer in range(_LOOPS)]
        reading = asyncio.create_task(asyncio.to_thread(in_a_loop, partial(_read, store, all_is_written)))
        try:
            await asyncio.gather(*(asyncio.to_thread(in_a_loop, work) for work in works))
        finally:
            all_is_written.set()
            await reading
