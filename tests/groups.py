"""What the tests of a cluster and of a Sentinel group share: the servers, and what both must keep."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import StorageBackend, StorageConnectionError, StorageError, UnknownOutcomeError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster, SentinelGroup
from ad_seller.storage.testing.redis_nodes import ask
from ad_seller.storage.testing.servers import RedisServer
from tests.amounts import times
from tests.cli.support import EXCERPT, SHARED_DAY, run

RedisGroup = RedisCluster | SentinelGroup

#: AD_SELLER_ALL_TESTS=1 also runs what takes long and hardly ever finds more.
FAILOVERS = times(1, in_ci=1, at_most=10)
MOST_CONNECTIONS = 20

_BETWEEN_SERVERS = re.compile(r"name=sentinel-|flags=[SM]|cmd=(psync|replconf|restore-asking|client)\b")


def connections(server: RedisServer) -> list[str]:
    """Return the connections of clients to a server, without this one and those of other servers."""
    lines: list[str] = ask(server, "CLIENT", "LIST").splitlines()
    return [line for line in lines if not _BETWEEN_SERVERS.search(line)]


async def check_many_callers(store: StorageBackend, servers: Sequence[RedisServer], callers: int = 2000) -> None:
    """Let many callers work at once: none may fail, and no server may see more than few connections."""
    most = 0
    done = asyncio.Event()

    async def count() -> None:
        nonlocal most
        while not done.is_set():
            for server in servers:
                most = max(most, len(await asyncio.to_thread(connections, server)))
            await asyncio.sleep(0.02)

    async def call(number: int) -> None:
        key = f"caller:{number}"
        await store.set(key, {"n": number}, ttl=60)
        assert await store.get(key) == {"n": number}
        assert await store.exists(key)
        await store.update(key, lambda current: {**current, "seen": True})
        if number % 50 == 0:
            assert key in await store.keys("caller:*")
        assert await store.delete(key)

    counting = asyncio.create_task(count())
    await asyncio.gather(*map(call, range(callers)))
    done.set()
    await counting
    assert 0 < most <= MOST_CONNECTIONS
    assert await store.count() == 0


async def check_cancelled_connects(
    new_backend: Callable[[], StorageBackend], servers: Sequence[RedisServer], times: int = 100
) -> None:
    """Cancel connecting at many moments: no connection may be left on any server."""
    rng = random.Random(1)
    for _ in range(times):
        backend = new_backend()
        connecting = asyncio.ensure_future(backend.connect())
        await asyncio.sleep(rng.choice([0, 0.0005, 0.001, 0.002, 0.004, 0.008]))
        connecting.cancel()
        await asyncio.wait([connecting])
        if not connecting.cancelled():
            connecting.result()
            await backend.disconnect()  # it was faster
    for server in servers:
        await none_left(server)


async def none_left(server: RedisServer) -> None:
    """Wait until a server has no connections of clients."""
    left: list[str] = []
    for _ in range(600):
        left = connections(server)
        if not left:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"left behind on port {server.port}: {left}")


def fixtures_of(kind: Callable[[Path], RedisGroup], name: str) -> tuple[Any, Any, Any]:
    """Return fixtures: servers that the tests of a worker share, lent whole and empty, and mended after the test.

    They are six processes: tests/spread.py has one worker start them.
    """

    @pytest.fixture(scope="package")  # idle ones compute
    def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisGroup]:
        with kind(tmp_path_factory.mktemp(name)) as group:
            yield group

    @pytest.fixture
    def lent(request: pytest.FixtureRequest) -> Iterator[RedisGroup]:
        group = request.getfixturevalue(f"shared_{name}")
        yield group
        group.clear()

    @pytest.fixture
    def mended(request: pytest.FixtureRequest) -> Iterator[None]:
        group = request.getfixturevalue(name)
        yield
        group.heal()

    return shared, lent, mended


async def check_nobody_answers(url: str) -> None:
    """Connect to servers that are not there: the error is there at once."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(StorageConnectionError, match="cannot be reached"):
        await RedisBackend(url).connect()
    assert asyncio.get_running_loop().time() - began < 4


async def check_a_listing_waits(url: str, kill_master: Callable[[], object]) -> None:
    """List while a master is being replaced: nothing is missing."""
    async with RedisBackend(url, timeout=15, wait_replicas=1) as store:
        entries = {f"item:{n}": n for n in range(100)}
        await store.set_many(entries)
        await asyncio.to_thread(kill_master)
        assert set(await store.keys("item:*")) == set(entries)
        assert dict((await store.scan("item:*")).items) == entries


async def check_too_few_confirm(url: str, prefix: str, *, replicas: int) -> None:
    """Wait for one replica more than there are: the write is there, and its caller is told that it may be lost."""
    text = ""
    async with RedisBackend(url, prefix, timeout=2, wait_replicas=replicas + 1) as store:
        for _ in range(5):  # the server waits for 90 % of the time; a busy machine may need more than the rest
            with pytest.raises(UnknownOutcomeError) as caught:
                await store.set("a", 1)
            assert caught.value.key == "a"
            if "no answer in time" not in (text := str(caught.value)):
                break
        assert f"{replicas} of {replicas + 1} replicas" in text
        assert await store.get("a") == 1


async def set_at_last(store: StorageBackend, key: str, value: object, seconds: float = 15) -> None:
    """Try until the write goes through."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(StorageError):
                return await store.set(key, value)


def check_recorded_day(url: str | None, **settings: str) -> None:
    """Replay a recorded day by the command line, and compare; without a URL, the settings name the store."""
    day, total = (SHARED_DAY, 9_000) if SHARED_DAY.is_file() else (EXCERPT, 300)
    done = run("replay", str(day), *(["--url", url] if url else []), "--json", env=settings, timeout=110)
    report = json.loads(done.stdout)
    assert (report["applied"], report["total"], report["mismatches"]) == (total, total, 0), done.stderr
