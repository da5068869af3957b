"""Storms of cancelled operations: what every engine must survive without mixing up answers or leaving anything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

from ad_seller.storage import StorageBackend

Operation = Callable[[StorageBackend, str], Awaitable[Any]]


def value_of(key: str, number: int = 0) -> dict[str, Any]:
    """Return a value that tells which key it belongs to."""
    return {"key": key, "n": number, "padding": "x" * (len(key) * 7 % 200)}


async def _get(store: StorageBackend, key: str) -> None:
    value = await store.get(key)
    assert value is None or value["key"] == key, f"the answer for another key came to {key}: {value}"


async def _get_many(store: StorageBackend, key: str) -> None:
    found = await store.get_many([key, f"{key}:2"])
    assert all(value["key"] == name for name, value in found.items()), found


async def _update(store: StorageBackend, key: str) -> None:
    def change(current: Any) -> Any:
        assert current is None or current["key"] == key
        return value_of(key, 0 if current is None else current["n"] + 1)

    await store.update(key, change)


async def _keys(store: StorageBackend, key: str) -> None:
    assert all(name.startswith(key) for name in await store.keys(f"{key}*"))


async def _scan(store: StorageBackend, key: str) -> None:
    page = await store.scan(f"{key}*", limit=5)
    assert all(value["key"] == name and name.startswith(key) for name, value in page.items)


async def _bool(call: Awaitable[bool]) -> None:
    assert isinstance(await call, bool)


async def _count(store: StorageBackend, key: str) -> None:
    assert await store.count(f"{key}*") <= 20


OPERATIONS: list[Operation] = [
    _get,
    _get,
    _get_many,
    _update,
    _keys,
    _scan,
    _count,
    lambda store, key: store.set(key, value_of(key)),
    lambda store, key: store.set_many({key: value_of(key), f"{key}:2": value_of(f"{key}:2")}, ttl=60),
    lambda store, key: _bool(store.delete(key)),
    lambda store, key: _bool(store.exists(key)),
    lambda store, key: _bool(store.create(key, value_of(key))),
    lambda store, key: _bool(store.expire(key, 60)),
]


async def cancel_at_random(
    store: StorageBackend, count: int, *, seed: int, more: list[Operation] | None = None, prefix: str = "storm:"
) -> tuple[int, int]:
    """Start ``count`` operations, 100 at a time, and cancel most of them at random points.

    Returns:
        How many were cancelled, and how many ended by themselves.
    """
    chance = random.Random(seed)
    operations = OPERATIONS + (more or [])
    cancelled = ended = 0
    for _ in range(0, count, 100):
        tasks = [
            asyncio.ensure_future(
                _as_coroutine(chance.choice(operations), store, f"{prefix}{chance.randrange(10)}")
            )
            for _ in range(100)
        ]
        for task in chance.sample(tasks, 80):
            if not task.done():  # in memory most are, soon
                await _pass_some_time(chance)
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, asyncio.CancelledError):
                cancelled += 1
            elif isinstance(result, BaseException):
                raise result
            else:
                ended += 1
    return cancelled, ended


async def _as_coroutine(operation: Operation, store: StorageBackend, key: str) -> None:
    await operation(store, key)


async def _pass_some_time(chance: random.Random) -> None:
    for _ in range(chance.randrange(4)):
        await asyncio.sleep(0)
    if chance.random() < 0.1:
        await asyncio.sleep(chance.random() * 0.002)


class Holdings:
    """Threads, open files and sockets of this process, counted at two moments."""

    def __init__(self) -> None:
        """Count what is there now."""
        self._process = psutil.Process()
        self._before = self._count()

    async def settle(self, seconds: float = 30.0) -> None:
        """Fail unless there is, within a moment, no more than before."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._has_more() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        now = self._count()
        files = [file.path for file in self._process.open_files()]
        assert not self._has_more(), f"threads and descriptors: {self._before} before, {now} now; open: {files}"

    def _has_more(self) -> bool:
        return any(now > before for now, before in zip(self._count(), self._before, strict=True))

    def _count(self) -> tuple[int, int]:
        return self._process.num_threads(), self._process.num_fds()
