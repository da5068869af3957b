"""An event loop's own thread that is interrupted while it reads or opens anew: no lock stays held, others go on.

It is a second Ctrl-C under `asyncio.run`, the first in a loop run otherwise, or what a signal handler raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ad_seller.storage.sqlite import openfiles
from ad_seller.storage.sqlite.engine import SQLiteEngine
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.engines import engine_of
from tests.sync.interrupts import SoftTimeLimitError, everywhere, is_free

pytestmark = pytest.mark.parametrize("error", [KeyboardInterrupt, SoftTimeLimitError])


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteBackend]:
    async with SQLiteBackend(str(path)) as other, SQLiteBackend(str(path)) as store:
        await other.set("k", 1)
        yield store
        await store.set("k", 2)
        assert await store.get("k") == 2


def interrupted(engine: SQLiteEngine, error: type[BaseException], function: Callable[[], object]) -> int:
    """Interrupt ``function`` at each of its points; no thread has to wait for what is left. Return how many."""
    count = 0
    for where in everywhere(error, function):
        engine._next_tick()
        assert all(is_free(handle.busy) for handle in engine._database._file.handles), where  # type: ignore[union-attr]
        count += 1
    return count


async def test_a_read_of_one_key(store: SQLiteBackend, error: type[BaseException]) -> None:
    engine = await engine_of(store)
    assert isinstance(engine, SQLiteEngine)
    assert interrupted(engine, error, lambda: engine.read_nowait("k")) > 5  # over what writes

    def opens_its_own() -> None:
        engine._local.close()  # type: ignore[union-attr]
        engine.read_nowait("k")

    engine._near = engine._local
    assert interrupted(engine, error, opens_its_own) > 20


async def test_a_read_of_some_keys(store: SQLiteBackend, error: type[BaseException]) -> None:
    engine = await engine_of(store)
    assert isinstance(engine, SQLiteEngine)

    def read() -> None:
        with suppress(StopIteration):
            engine.read(["k", "l"]).send(None)

    assert interrupted(engine, error, read) > 5
    assert interrupted(engine, error, lambda: engine.begin_read(["k", "l"], lambda *_: None)) > 5


async def test_connections_that_are_opened_anew(
    path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one that leaves does it, if nobody has noticed before that the log is gone."""
    monkeypatch.setattr(openfiles, "_WATCH", 600)
    monkeypatch.setattr(openfiles, "unsaved", lambda _: 0)  # true, and found at a few points instead of hundreds
    async with SQLiteBackend(str(path)) as store:
        engine = await engine_of(store)
        assert isinstance(engine, SQLiteEngine)
        file = engine._database._file
        assert file is not None

        async def lose_the_log() -> None:
            await engine._read(lambda *_: None, None)  # opens what reads
            await engine._database.write(lambda _: None)  # and what writes
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink()

        await lose_the_log()
        count = 0
        for where in everywhere(error, file.renew):
            assert all(is_free(handle.busy) for handle in file.handles), where
            await asyncio.to_thread(file.renew)  # if it was not done
            await lose_the_log()
            count += 1
        assert count > 20
