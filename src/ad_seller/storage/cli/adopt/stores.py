"""Reading a store without opening it as ours: that would set up what is missing, and here nothing may be changed.

Each engine is asked in its own way for all its entries, one after the other; values stay text.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ad_seller.storage import ConfigurationError

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
