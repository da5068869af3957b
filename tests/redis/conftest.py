"""A backend on the shared server, and one on a server that the test may break."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ad_seller.storage.redis import connection, news
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer
from tests.proxy import Proxy

from .support import plain


@pytest.fixture(autouse=True)
def no_ints(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See `connection.Argument`; what mypy takes for Any is looked at here."""
    odd: list[tuple[Any, ...]] = []
    pack = connection._pack

    def looked_at(command: tuple[Any, ...]) -> bytes:
        odd.extend(command[:2] for part in command if not isinstance(part, str | bytes))
        return pack(command)

    monkeypatch.setattr(connection, "_pack", looked_at)
    yield
    assert odd == []


@pytest.fixture
async def store(redis_url: str, redis_prefix: str) -> AsyncIterator[RedisBackend]:
    """A connected backend with a prefix of the test's own."""
    async with RedisBackend(redis_url, redis_prefix) as backend:
        yield backend


@pytest.fixture
def proxy(own_redis: RedisServer) -> Iterator[Proxy]:
    """What stands before the test's own server, for clients that connect to it."""
    with Proxy(own_redis.port) as proxy:
        yield proxy


@pytest.fixture
async def own_store(own_redis: RedisServer) -> AsyncIterator[RedisBackend]:
    """A connected backend on the test's own server."""
    backend = RedisBackend(own_redis.url)
    await backend.connect()
    yield backend
    if own_redis.running:
        own_redis.thaw()
    await backend.disconnect()


@pytest.fixture
def client(own_redis: RedisServer) -> Any:
    """Another program's client of that server."""
    with plain(own_redis.url) as client:
        yield client


@pytest.fixture
async def listed(own_redis: RedisServer) -> AsyncIterator[RedisBackend]:
    """A store with entries of its own that has listed before."""
    async with RedisBackend(own_redis.url) as store:
        await store.set_many({f"deal:{n}": n for n in range(5)})
        assert len(await store.keys()) == 5
        yield store


@pytest.fixture(params=["told", "alone"])
async def each_listed(
    request: pytest.FixtureRequest, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisBackend]:
    """The same, of an instance that is told of changes, and of one whose listings look at all keys themselves."""
    if request.param == "alone":
        monkeypatch.setattr(news.News, "do_without", lambda self: True)
    async with RedisBackend(own_redis.url) as store:
        await store.set_many({f"deal:{n}": n for n in range(5)})
        assert len(await store.keys()) == 5
        assert store.stats().index_trusted is (request.param == "told")
        yield store
