"""Where the contenders of an engine store: a server of this run's own, with a database for each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

ENGINES = ("sqlite", "redis", "postgres")


class Places(Protocol):
    """Gives each contender a new, empty place."""

    about: str

    def new(self, contender: str) -> str: ...

    def settle(self, place: str) -> None:
        """After much was stored: what the engine would do by itself some time later."""


@contextmanager
def started(engine: str, folder: Path | None = None) -> Iterator[Places]:
    """Start what the engine needs; ``folder`` is where files go, a temporary one unless given."""
    root = Path(tempfile.mkdtemp(prefix="ad_seller_bench_", dir=folder))
    try:
        if engine == "redis":
            yield from _redis(root)
        elif engine == "postgres":
            yield from _postgres()
        else:
            yield _Folders(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


class _Folders:
    def __init__(self, root: Path) -> None:
        import sqlite3

        self._root = root
        self.about = f"SQLite {sqlite3.sqlite_version}"

    def new(self, contender: str) -> str:
        return tempfile.mkdtemp(prefix=f"{contender}-", dir=self._root)

    def settle(self, place: str) -> None:
        """Nothing: SQLite has no processes of its own."""


class _RedisDatabases:
    """Databases of one server; listing commands walk only the selected one."""

    def __init__(self, url: str, about: str) -> None:
        self._url = url
        self.about = about
        self._used = 0

    def new(self, contender: str) -> str:
        self._used += 1
        return self._url.rpartition("/")[0] + f"/{self._used}"

    def settle(self, place: str) -> None:
        """Nothing to do."""


def _redis(root: Path) -> Iterator[Places]:
    from ad_seller.storage.testing.servers import RedisServer

    with RedisServer(root, maxmemory="12gb", config={"databases": "64"}) as server:
        yield _RedisDatabases(
            server.url, f"{server.binary.product} {server.binary.version}, no persistence, loopback TCP"
        )


class _PostgresDatabases:
    def __init__(self, server: Any) -> None:
        self._server = server
        self.about = f"PostgreSQL {server.binaries.version}, fsync and synchronous_commit on, loopback TCP"
        self._used = 0

    def new(self, contender: str) -> str:
        self._used += 1
        name = f"bench_{self._used}"
        self._run("postgres", f"CREATE DATABASE {name}")
        return str(self._server.url(name))

    def settle(self, place: str) -> None:
        self._run(place.rpartition("/")[2], "VACUUM ANALYZE")

    def _run(self, database: str, statement: str) -> None:
        import asyncio

        import asyncpg

        async def run() -> None:
            connection = await asyncpg.connect(self._server.url(database))
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(run())


def _postgres() -> Iterator[Places]:
    from ad_seller.storage.testing.postgres_server import PostgresServer

    config = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "shared_buffers": "256MB",
        "max_connections": "300",
        "max_wal_size": "2GB",
        "autovacuum_naptime": "60s",
    }
    with PostgresServer(config=config) as server:
        yield _PostgresDatabases(server)
