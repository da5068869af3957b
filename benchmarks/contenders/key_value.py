"""py-key-value-aio, through its stores' public interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from ..contender import Contender, Row, chunks
from ..data import Value


class KeyValue(Contender):
    """Keys are split as its users would: what stands before the first colon is the collection."""

    only_dicts = True

    async def open(self) -> None:
        self.store = self._make()
        await self.store.setup()

    def _make(self) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        await self.store.close()

    async def fill(self, rows: Iterator[Row]) -> None:
        for chunk in chunks(rows, 500):
            collections: dict[str, list[Row]] = {}
            for key, value in chunk:
                collection, _, name = key.partition(":")
                collections.setdefault(collection, []).append((name, value))
            for collection, pairs in collections.items():
                names, values = zip(*pairs, strict=True)
                await self.store.put_many(names, values, collection=collection)

    async def get(self, key: str) -> Value | None:
        collection, _, name = key.partition(":")
        value: Value | None = await self.store.get(name, collection=collection)
        return value

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        collection, _, name = key.partition(":")
        await self.store.put(name, value, collection=collection, ttl=ttl)

    async def delete(self, key: str) -> bool:
        collection, _, name = key.partition(":")
        return bool(await self.store.delete(name, collection=collection))


class Disk(KeyValue):
    """As it comes: diskcache with synchronous=NORMAL."""

    def _make(self) -> Any:
        from key_value.aio.stores.disk import DiskStore

        return DiskStore(directory=self.place)


class DiskFull(KeyValue):
    """With the durability of the others."""

    def _make(self) -> Any:
        from diskcache import Cache
        from key_value.aio.stores.disk import DiskStore

        self._cache = Cache(Path(self.place), eviction_policy="none", sqlite_synchronous=2)
        return DiskStore(disk_cache=self._cache)

    async def close(self) -> None:
        await super().close()
        self._cache.close()


class Redis(KeyValue):
    _page: ClassVar[int] = 10_000  # it gives no more keys than that

    def _make(self) -> Any:
        from key_value.aio.stores.redis import RedisStore

        return RedisStore(url=self.place)

    async def keys(self, prefix: str) -> list[str]:
        names = await self.store.keys(prefix.rstrip(":"), limit=self._page)
        return sorted(prefix + name for name in names)

    async def entries(self, prefix: str) -> list[Value]:
        collection = prefix.rstrip(":")
        names = sorted(await self.store.keys(collection, limit=self._page))
        values: list[Value] = await self.store.get_many(names, collection=collection)
        return values


class Postgres(KeyValue):
    def _make(self) -> Any:
        from key_value.aio.stores.postgresql import PostgreSQLStore

        return PostgreSQLStore(url=self.place)
