"""A cluster, and a Sentinel group: each module of tests lends one to all of its rows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import StorageError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.redis_groups import RedisCluster, SentinelGroup

from .provoking import TIMEOUT, at_last, disconnected, failed, free_port, kept, provokes, refused


def a_cluster(request: pytest.FixtureRequest) -> RedisCluster:
    """Return the cluster of these tests, whole."""
    group: RedisCluster = request.getfixturevalue("cluster")
    return group


def a_group(request: pytest.FixtureRequest) -> SentinelGroup:
    """Return the Sentinel group of these tests, whole."""
    group: SentinelGroup = request.getfixturevalue("sentinel")
    return group


# --- Sentinel --------------------------------------------------------------------------------------------


@provokes("Sentinel", "no sentinel answers")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    url = f"redis+sentinel://127.0.0.1:{free_port()}/mymaster/0"
    return await failed(RedisBackend(url, timeout=TIMEOUT).connect())


@provokes("Sentinel", "the sentinels know no such service")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await failed(RedisBackend(a_group(request).url.replace("mymaster", "other"), timeout=TIMEOUT).connect())


@provokes("Sentinel", "too few replicas confirmed a write")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with RedisBackend(a_group(request).url, wait_replicas=3, timeout=TIMEOUT) as store:
        error = await refused(store)
        assert await at_last(store) == "new"
    return error


@provokes("Sentinel", "no master is left; the write was not sent")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    group = a_group(request)
    async with RedisBackend(group.url, timeout=TIMEOUT) as store:
        await store.set("key", "old")
        for node in group.nodes:
            node.freeze()
        with suppress(StorageError):
            await store.get("key")  # takes note that nobody answers
        error = await refused(store)
        for node in group.nodes:
            node.thaw()
        await asyncio.to_thread(group.heal)
        assert await at_last(store) == "old"
    return error


@provokes("Sentinel", "disconnected")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await disconnected(RedisBackend(a_group(request).url))


# --- cluster ---------------------------------------------------------------------------------------------


@provokes("cluster", "no node answers")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await failed(RedisBackend(f"redis+cluster://127.0.0.1:{free_port()}", timeout=TIMEOUT).connect())


@provokes("cluster", "a transaction writes to several slots")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async def work(tx: Any) -> None:
        await tx.set("key", "new")
        await tx.set("other", "new")

    async with kept(RedisBackend(a_cluster(request).url)) as store:
        error = await failed(store.transact(work))
        assert await store.get("other") is None
    return error


@provokes("cluster", "too few replicas confirmed a write")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    async with RedisBackend(a_cluster(request).url, wait_replicas=2, timeout=TIMEOUT) as store:
        error = await refused(store)
        assert await at_last(store) == "new"
    return error


@provokes("cluster", "the master of a key is gone, nobody has taken over yet; the write was not sent")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    group = a_cluster(request)
    async with RedisBackend(group.url, wait_replicas=1, timeout=TIMEOUT) as store:
        await store.set("key", "old")
        group.kill_master("ad_seller:key")
        with suppress(StorageError):
            await store.get("key")  # takes note that its connections are gone
        error = await refused(store)
        await asyncio.to_thread(group.wait_until_ok)
        assert await at_last(store) == "old"
        await asyncio.to_thread(group.heal)
    return error


@provokes("cluster", "disconnected")
async def _(path: Path, request: pytest.FixtureRequest) -> StorageError:
    return await disconnected(RedisBackend(a_cluster(request).url))
