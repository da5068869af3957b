"""Redis clients of others, one command per call, as a program would write it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from ..contender import Change, Contender, Row, added
from ..data import Value
from .redis_raw import fill_over_socket

_SCAN_COUNT = 1_000


class Client(Contender):
    """What the three have in common: JSON, and listings from SCAN and MGET."""

    client: Any

    async def fill(self, rows: Iterator[Row]) -> None:
        fill_over_socket(self.place, rows)

    async def get(self, key: str) -> Value | None:
        text = await self.client.get(key)
        return None if text is None else json.loads(text)

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        await self.client.set(key, dump(value), ex=ttl)

    async def delete(self, key: str) -> bool:
        return bool(await self.client.delete([key]))

    async def entries(self, prefix: str) -> list[Value]:
        texts = await self.client.mget(await self.keys(prefix))
        return [json.loads(text) for text in texts if text is not None]

    async def find(self, prefix: str, status: str) -> list[Value]:
        return [value for value in await self.entries(prefix) if value["status"] == status]


class RedisPy(Client):
    async def open(self) -> None:
        from redis.asyncio import Redis

        self.client = Redis.from_url(self.place, decode_responses=True)
        await self.client.ping()

    async def close(self) -> None:
        await self.client.aclose()

    async def delete(self, key: str) -> bool:
        return bool(await self.client.delete(key))

    async def keys(self, prefix: str) -> list[str]:
        return sorted({key async for key in self.client.scan_iter(match=prefix + "*", count=_SCAN_COUNT)})

    async def update(self, key: str, change: Change) -> None:
        await self._change({key: change})

    async def move(self, source: str, target: str) -> None:
        await self._change({source: added(-1), target: added(1)})

    async def _change(self, changes: dict[str, Change]) -> None:
        from redis.exceptions import WatchError

        while True:
            async with self.client.pipeline(transaction=True) as pipe:
                try:
                    await pipe.watch(*changes)
                    values = [json.loads(text) for text in await pipe.mget(list(changes))]
                    pipe.multi()
                    for value, (key, change) in zip(values, changes.items(), strict=True):
                        pipe.set(key, dump(change(value)))
                    await pipe.execute()
                    return
                except WatchError:
                    continue


class Coredis(Client):
    async def open(self) -> None:
        import coredis

        self._stack = AsyncExitStack()
        client = coredis.Redis.from_url(self.place, decode_responses=True)
        self.client = await self._stack.enter_async_context(client)
        await self.client.ping()

    async def close(self) -> None:
        await self._stack.aclose()

    async def keys(self, prefix: str) -> list[str]:
        found = {key async for key in self.client.scan_iter(match=prefix + "*", count=_SCAN_COUNT)}
        return sorted(found)


class Glide(Client):
    async def open(self) -> None:
        from glide import ExpirySet, ExpiryType, GlideClient, GlideClientConfiguration, NodeAddress

        url = urlsplit(self.place)
        configuration = GlideClientConfiguration(
            [NodeAddress(url.hostname or "127.0.0.1", url.port or 6379)],
            database_id=int(url.path.strip("/") or 0),
            request_timeout=5_000,
            inflight_requests_limit=10_000,
        )
        self._expiry: Any = ExpirySet
        self._unit: Any = ExpiryType.SEC
        self.client = await GlideClient.create(configuration)

    async def close(self) -> None:
        await self.client.close()

    async def set(self, key: str, value: Value, ttl: int | None = None) -> None:
        await self.client.set(key, dump(value), expiry=None if ttl is None else self._expiry(self._unit, ttl))

    async def keys(self, prefix: str) -> list[str]:
        found: set[bytes] = set()
        cursor: Any = "0"
        while True:
            cursor, keys = await self.client.scan(cursor, match=prefix + "*", count=_SCAN_COUNT)
            found.update(keys)
            if cursor in (b"0", "0"):
                return sorted(key.decode() for key in found)


def dump(value: Value) -> str:
    return json.dumps(value, separators=(",", ":"))
