"""Reading a store without opening it as ours: that would set up what is missing, and here nothing may be changed.

Each engine is asked in its own way for all its entries, one after the other; values stay text.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

Key = str | bytes | None
#: Called for each entry that has not expired: its key, and its text or, where it is none, None.
See = Callable[[Key, bytes | None], None]


def read_sqlite(path: Path, see: See) -> int:
    """Read a file as it is; return how many entries have expired.

    Raises:
        sqlite3.Error: it is no such file, or has no such table.
    """
    expired, now = 0, time.time()
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10)
    db.text_factory = bytes
    try:
        for key, value, expires_at in db.execute("SELECT key, value, expires_at FROM kv_store"):
            if isinstance(expires_at, int | float) and expires_at <= now:
                expired += 1
                continue
            see(key, value if isinstance(value, bytes) else None if value is None else str(value).encode())
    finally:
        db.close()
    return expired


def read_redis(url: str, password: str | None, prefix: str, see: See) -> int:
    """Read all entries under a prefix; return how many other keys the database has.

    Raises:
        redis.RedisError: the server cannot be reached or refuses.
    """
    import redis

    options = {} if password is None or "@" in url else {"password": password}
    with redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5, **options) as client:
        start, others = prefix.encode(), 0
        for names in _chunks(client.scan_iter(count=1000)):
            ours = [name for name in names if name.startswith(start) and not name.startswith(start + b"\0")]
            others += sum(not name.startswith(start) for name in names)
            for name, kind, value in zip(
                ours, _kinds(client, ours), client.mget(ours) if ours else [], strict=True
            ):
                if value is not None or kind not in (b"string", b"none"):
                    see(name.removeprefix(start), value)
        return others


def _chunks(names: Iterator[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for name in names:
        chunk.append(name)
        if len(chunk) == 500:
            yield chunk
            chunk = []
    yield chunk


def _kinds(client: object, names: list[bytes]) -> list[bytes]:
    with client.pipeline(transaction=False) as pipeline:  # type: ignore[attr-defined]
        for name in names:
            pipeline.type(name)
        return list(pipeline.execute())


def read_postgres(url: str, password: str | None, see: See) -> str | None:
    """Read our table or, where that was not made yet, the older one, in a transaction that cannot write.

    Returns:
        The name of the table; None if the database has neither.

    Raises:
        asyncpg.PostgresError, OSError: the server cannot be reached or refuses.
    """
    return asyncio.run(asyncio.wait_for(_read_postgres(url, password, see), timeout=600))


async def _read_postgres(url: str, password: str | None, see: See) -> str | None:
    import asyncpg

    plain = url.replace("postgresql+asyncpg://", "postgresql://", 1)
    connection = await asyncpg.connect(plain, password=password, timeout=10, statement_cache_size=0)
    try:
        async with connection.transaction(readonly=True, isolation="repeatable_read"):
            for table, alive in (("ad_seller_kv", "expires_at"), ("kv_store", "to_timestamp(expires_at)")):
                if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
                    query = f"SELECT key, value::text FROM {table} WHERE expires_at IS NULL OR {alive} > now()"  # noqa: S608
                    async for key, value in connection.cursor(query, prefetch=500):
                        see(key, value.encode("utf-8", "surrogatepass"))
                    return table
    finally:
        await connection.close(timeout=5)
    return None
