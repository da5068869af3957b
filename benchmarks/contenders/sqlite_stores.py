"""Stores of others on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from ..contender import Change, Contender, Row, added, chunks
from ..data import Value


class LangGraph(Contender):
    """LangGraph's AsyncSqliteStore; set to WAL and FULL, so that it is as fast and as durable as it can be."""

    only_dicts = True

    async def open(self) -> None:
        from langgraph.store.sqlite.aio import AsyncSqliteStore

        self._stack = AsyncExitStack()
        path = str(Path(self.place) / "store.db")
        self.store: Any = await self._stack.enter_async_context(AsyncSqliteStore.from_conn_string(path))
        await self.store.conn.execute("PRAGMA journal_mode = WAL")
        await self.store.conn.execute("PRAGMA synchronous = FULL")
        await self.store.setup()

    async def close(self) -> None:
        task = getattr(self.store, "_task", None)
        if task is not None:
            task.cancel()
        await self._stack.aclose()

    async def fill(self, rows: Iterator[Row]) -> None:
        from langgraph.store.base import PutOp

        for chunk in chunks(rows, 1_000):
            await self.store.abatch([PutOp(*self._split(key), value) for key, value in chunk])

    @staticmethod
    def _split(key: str) -> tuple[tuple[str, ...], str]:
        *namespace, name = key.split(":")
        return tuple(namespace), name

    async def get(self, key: str) -> Value | None:
        item = await self.store.aget(*self._split(key))
        return None if item is None else item.value

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        if ttl is None:
            await self.store.aput(*self._split(key), value)
        else:
            await self.store.aput(*self._split(key), value, ttl=ttl / 60)

    async def delete(self, key: str) -> bool:
        await self.store.adelete(*self._split(key))  # it does not tell whether there was one
        return True

    async def keys(self, prefix: str) -> list[str]:
        return sorted(prefix + item.key for item in await self._search(prefix, limit=1_000_000))

    async def entries(self, prefix: str) -> list[Value]:
        items = await self._search(prefix, limit=1_000_000)
        return [item.value for item in sorted(items, key=lambda item: item.key)]

    async def page(self, prefix: str, cursor: Any, limit: int) -> tuple[list[str], Any]:
        offset = cursor or 0
        items = await self._search(prefix, limit=limit, offset=offset)
        return [prefix + item.key for item in items], offset + limit if len(items) == limit else None

    async def find(self, prefix: str, status: str) -> list[Value]:
        return [item.value for item in await self._search(prefix, limit=1_000_000, filter={"status": status})]

    async def _search(self, prefix: str, **options: Any) -> list[Any]:
        items: list[Any] = await self.store.asearch((prefix.rstrip(":"),), **options)
        return items


class DiskCache(Contender):
    """diskcache, each call on a thread of the loop's pool, as its documentation says; set to FULL."""

    async def open(self) -> None:
        from diskcache import Cache

        self.cache = Cache(self.place, eviction_policy="none", sqlite_synchronous=2)

    async def close(self) -> None:
        self.cache.close()

    async def fill(self, rows: Iterator[Row]) -> None:
        for chunk in chunks(rows, 1_000):
            with self.cache.transact():
                for key, value in chunk:
                    self.cache.set(key, value)

    async def get(self, key: str) -> Value | None:
        value: Value | None = await asyncio.to_thread(self.cache.get, key)
        return value

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        await asyncio.to_thread(self.cache.set, key, value, ttl)

    async def delete(self, key: str) -> bool:
        return bool(await asyncio.to_thread(self.cache.delete, key))

    async def update(self, key: str, change: Change) -> None:
        def work() -> None:
            with self.cache.transact(retry=True):
                self.cache.set(key, change(self.cache.get(key)))

        await asyncio.to_thread(work)

    async def move(self, source: str, target: str) -> None:
        def work() -> None:
            with self.cache.transact(retry=True):
                self.cache.set(source, added(-1)(self.cache.get(source)))
                self.cache.set(target, added(1)(self.cache.get(target)))

        await asyncio.to_thread(work)
