"""Our backends, as an application uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from ..contender import Change, Contender, Row, added, chunks
from ..data import Value


class Ours(Contender):
    """Through the public interface only."""

    kind: ClassVar[str]

    async def open(self) -> None:
        self.store = self._make()
        await self.store.connect()

    def _make(self) -> Any:
        from ad_seller.storage import get_storage_backend

        return get_storage_backend(self.kind, database_url=self.place, redis_url=self.place)

    async def close(self) -> None:
        await self.store.disconnect()

    async def fill(self, rows: Iterator[Row]) -> None:
        for chunk in chunks(rows, 1_000):
            await self.store.set_many(dict(chunk))

    async def get(self, key: str) -> Value | None:
        value: Value | None = await self.store.get(key)
        return value

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        await self.store.set(key, value, ttl)

    async def delete(self, key: str) -> bool:
        return bool(await self.store.delete(key))

    async def keys(self, prefix: str) -> list[str]:
        keys: list[str] = await self.store.keys(prefix + "*")
        return keys

    async def entries(self, prefix: str) -> list[Value]:
        if prefix == "order:":
            orders: list[Value] = await self.store.list_orders()
            return orders
        return [value for _, value in (await self.store.scan(prefix + "*")).items]

    async def page(self, prefix: str, cursor: Any, limit: int) -> tuple[list[str], Any]:
        page = await self.store.scan(prefix + "*", limit=limit, cursor=cursor)
        return [key for key, _ in page.items], page.cursor

    async def update(self, key: str, change: Change) -> None:
        await self.store.update(key, change)

    async def move(self, source: str, target: str) -> None:
        async def work(tx: Any) -> None:
            before, after = await tx.get(source), await tx.get(target)
            await tx.set(source, added(-1)(before))
            await tx.set(target, added(1)(after))

        await self.store.transact(work, attempts=1_000)

    async def find(self, prefix: str, status: str) -> list[Value]:
        found: list[Value] = await self.store.list_orders({"status": status})
        return found


class Memory(Ours):
    kind = "memory"


class SQLite(Ours):
    kind = "sqlite"
    synchronous = "FULL"

    def _make(self) -> Any:
        from ad_seller.storage.sqlite_backend import SQLiteBackend

        path = Path(self.place) / "store.db"
        return SQLiteBackend(f"sqlite:///{path}", synchronous=self.synchronous)  # type: ignore[arg-type]


class SQLiteNormal(SQLite):
    synchronous = "NORMAL"


class Redis(Ours):
    kind = "redis"


class Postgres(Ours):
    kind = "postgres"
