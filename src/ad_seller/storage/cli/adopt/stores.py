"""Reading a store without opening it as ours: that would set up what is missing, and here nothing may be changed.

Each engine is asked in its own way for all its entries, one after the other; values stay text.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ad_seller.storage import ConfigurationError

#: What to do where the entries are spread over servers, or one has to be found first.
LOOK_ELSEWHERE = (
    "Its data is not looked at here, because nothing may be set up yet. With Sentinel, name the master itself by "
    "--url redis://…; for a cluster run `ad-seller-storage doctor` once the agent was started with this package."
)
_COLUMNS = {"key", "value", "expires_at"}

Key = str | bytes | None
#: Called for each entry that has not expired: its key, and its text or, where it is none, None.
See = Callable[[Key, bytes | None], None]


def read_sqlite(path: Path, see: See) -> int:
    """Read a file as it is; return how many entries have expired.

    Raises:
        ConfigurationError: its table is none of an agent.
        sqlite3.Error: it is no such file, or has no such table.
    """
    expired, now = 0, time.time()
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10)
    db.text_factory = bytes
    try:
        columns = {name.decode() for (name,) in db.execute("SELECT name FROM pragma_table_info('kv_store')")}
        if columns and not columns >= _COLUMNS:
            raise ConfigurationError(
                f"The table kv_store of {str(path)!r} has another form: {', '.join(sorted(columns))}. An agent's "
                "has key, value and expires_at. Is it another program's file?"
            )
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
        ConfigurationError: it is a node of a cluster, or a Sentinel.
        redis.RedisError: the server cannot be reached or refuses.
    """
    import redis

    options = {} if password is None or "@" in url else {"password": password}
    with redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5, **options) as client:
        _check_alone(client)
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


def _check_alone(client: Any) -> None:
    """Refuse what would show a part of the entries only, or none."""
    mode = client.info("server").get("redis_mode", "standalone")
    if mode != "standalone":
        what = "a Sentinel, which has no entries" if mode == "sentinel" else "a node of a cluster, which has a part"
        raise ConfigurationError(f"This is {what}. {LOOK_ELSEWHERE}")


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
        ConfigurationError: a newer version of this package has set the tables up.
        asyncpg.PostgresError, OSError: the server cannot be reached or refuses.
    """
    return asyncio.run(asyncio.wait_for(_read_postgres(url, password, see), timeout=600))


async def _read_postgres(url: str, password: str | None, see: See) -> str | None:
    import asyncpg

    plain = url.replace("postgresql+asyncpg://", "postgresql://", 1)
    connection = await asyncpg.connect(plain, password=password, timeout=10, statement_cache_size=0)
    try:
        async with connection.transaction(readonly=True, isolation="repeatable_read"):
            await _check_version(connection)
            for table, alive in (("ad_seller_kv", "expires_at"), ("kv_store", "to_timestamp(expires_at)")):
                if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
                    query = f"SELECT key, value::text FROM {table} WHERE expires_at IS NULL OR {alive} > now()"  # noqa: S608
                    async for key, value in connection.cursor(query, prefetch=500):
                        see(key, value.encode("utf-8", "surrogatepass"))
                    return table
    finally:
        await connection.close(timeout=5)
    return None


async def _check_version(connection: Any) -> None:
    from ad_seller.storage.postgres.schema import VERSION

    if not await connection.fetchval("SELECT to_regclass('ad_seller_schema') IS NOT NULL"):
        return
    found = await connection.fetchval("SELECT value FROM ad_seller_schema WHERE name = 'version'")
    if found is not None and int(found) > VERSION:
        raise ConfigurationError(
            f"The database has version {found} of our tables, this package knows up to {VERSION}: a newer one has "
            "set it up. Upgrade this one"
        )
