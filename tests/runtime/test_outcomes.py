"""What is told of a write when something is raised that no engine raises, e.g. by a signal handler."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ad_seller.storage import StorageBackend, UnknownOutcomeError
from ad_seller.storage.driver.commit import Commit
from ad_seller.storage.driver.engine import Engine
from ad_seller.storage.memory.engine import MemoryEngine
from ad_seller.storage.postgres.engine import PostgresEngine
from ad_seller.storage.redis.engine import RedisEngine
from ad_seller.storage.sqlite.engine import SQLiteEngine
from tests.sync.interrupts import SoftTimeLimitError

from .stores import store

__all__ = ["store"]

ENGINES: tuple[type[Engine], ...] = (MemoryEngine, SQLiteEngine, RedisEngine, PostgresEngine)


async def test_a_write_after_which_something_is_raised(
    store: StorageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, so nobody may be told that it is not."""
    for engine in ENGINES:
        monkeypatch.setattr(engine, "begin_apply", None)
        monkeypatch.setattr(engine, "apply", applying_and_raising(engine.apply))
    keys = ["order:1", "quote:1", "session:1"]
    async with store:
        told = await asyncio.gather(*(store.set(key, 1) for key in keys), return_exceptions=True)
        assert [type(answer) for answer in told] == [UnknownOutcomeError] * 3
        assert "SoftTimeLimitError" in str(told[0])
        assert await store.get_many(keys) == dict.fromkeys(keys, 1)


def applying_and_raising(apply: Any) -> Any:
    async def applied(engine: Engine, commits: list[Commit]) -> Sequence[Any]:
        await apply(engine, commits)
        raise SoftTimeLimitError

    return applied
