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
    timeout, waited = 2.0, 0.5
    calls: list[Call] = []
    async with PostgresBackend(postgres_url, timeout=timeout) as storage:
        engine = await postgres_engine_of(storage)
        engine._listings._large.add(("",))
        acquire, fetch = engine._client._pool.acquire, Connection.fetch

        async def late(end: float, *, first: bool) -> Connection:
            await asyncio.sleep(waited)
            return await acquire(end, first=first)

        def noted(connection: Connection, call: Call) -> Any:
            calls.append(call)
            return fetch(connection, call)

        monkeypatch.setattr(engine._client._pool, "acquire", late)
        monkeypatch.setattr(Connection, "fetch", noted)
        before = asyncio.get_running_loop().time()
        listing = asyncio.create_task(storage.keys())
        await asyncio.sleep(0)
        begun = asyncio.get_running_loop().time()
        assert await listing == []
    assert calls[0].statement.startswith("BEGIN")
    assert before < calls[0].deadline - engine._client._timeout <= begun
