"""Calls of several steps: their time begins with the call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ad_seller.storage.postgres.connection import Call, Connection
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.postgres.support import postgres_engine_of


async def test_a_large_listing_that_had_to_wait_for_a_connection(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Call] = []
    came: list[float] = []
    async with PostgresBackend(postgres_url) as storage:
        engine = await postgres_engine_of(storage)
        engine._listings._large.add(("",))
        acquire, fetch = engine._client._pool.acquire, Connection.fetch

        async def late(end: float, *, first: bool) -> Connection:
            came.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.05)
            return await acquire(end, first=first)

        def noted(connection: Connection, call: Call) -> Any:
            calls.append(call)
            return fetch(connection, call)

        monkeypatch.setattr(engine._client._pool, "acquire", late)
        monkeypatch.setattr(Connection, "fetch", noted)
        assert await storage.keys() == []
    assert calls[0].statement.startswith("BEGIN")
    assert calls[0].deadline - engine._client._timeout <= came[0]
