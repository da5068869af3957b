"""A disk without room: what is refused was not written, what is unclear is called so, and all goes on later."""

from __future__ import annotations

import random

import pytest

from ad_seller.storage import StorageConnectionError, StoreUnavailableError, UnknownOutcomeError
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from tests.full_disk import limit_files

LOG_SEGMENT = 16 << 20  #: bytes; no file of the write-ahead log is larger, so only tables meet this limit


def megabyte() -> str:
    """Return a megabyte that cannot be compressed."""
    return random.randbytes(1 << 19).hex()


async def filled(storage: PostgresBackend) -> None:
    for number in range(40):
        await storage.set(f"fill:{number}", megabyte())


async def test_a_table_that_cannot_grow(own_postgres: PostgresServer) -> None:
    """A plain refusal: nothing is written, reading and deleting go on."""
    async with PostgresBackend(own_postgres.url()) as storage:
        await storage.set_many({"old": "intact", "counter": 5})
        limit_files(own_postgres, LOG_SEGMENT)
        with pytest.raises(StoreUnavailableError, match="could not extend file"):
            await filled(storage)
        written = await storage.count("fill:*")
        assert 5 < written < 20
        for number in range(3):
            with pytest.raises(StoreUnavailableError, match="could not extend file"):
                await storage.set_many({"old": "new", "new": number, "large": megabyte()})
        assert await storage.get_many(["old", "new", "large"]) == {"old": "intact"}
        assert await storage.increment("counter") == 6  # there is room for what is small
        limit_files(own_postgres)
        await storage.set("large", megabyte())
        assert await storage.count("fill:*") == written


async def test_a_log_that_cannot_grow(own_postgres: PostgresServer) -> None:
    """PostgreSQL ends itself, as it must; what it confirmed is there when it comes back."""
    async with PostgresBackend(own_postgres.url(), timeout=2.0) as storage:
        await storage.set_many({"old": "intact", "counter": 5})
        limit_files(own_postgres, 0)
        with pytest.raises(UnknownOutcomeError):
            await storage.set_many({"old": "new", "new": 1})
        with pytest.raises((StorageConnectionError, UnknownOutcomeError)):
            await storage.set("later", 1)
        own_postgres.restart()
        assert await storage.get_many(["old", "new"]) in ({"old": "intact"}, {"old": "new", "new": 1})
        assert await storage.increment("counter") == 6
