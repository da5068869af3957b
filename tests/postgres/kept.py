"""What a process of tests keeps of PostgreSQL: the outcome of initdb, and a connection that empties a database."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from ad_seller.storage.postgres.statements import TABLE
from ad_seller.storage.testing import postgres_server

_run_initdb = postgres_server.initialise
_outcomes: dict[Path, Path] = {}  #: by the program


def initialise(command: Sequence[str | Path], **options: Any) -> None:
    """Copy the outcome of the first initdb, which takes a fourth of the computing; a password makes another one."""
    if "--auth-host=trust" not in command:
        _run_initdb(command, **options)
        return
    program, data = Path(command[0]), command.index("-D") + 1
    if program not in _outcomes:
        folder = Path(tempfile.mkdtemp(prefix="ad_seller_pg_"))
        os.chown(folder, options.get("user", -1), options.get("group", -1))
        atexit.register(_remove, folder, os.getpid())
        _run_initdb([*command[:data], folder / "data", *command[data + 1 :]], **options)
        _outcomes[program] = folder / "data"
    subprocess.run(["cp", "-a", _outcomes[program], command[data]], check=True, **options)


def install() -> None:
    """Have all servers that this process starts made so."""
    postgres_server.initialise = initialise


def _remove(folder: Path, process: int) -> None:
    if process == os.getpid():  # and not one that was forked
        shutil.rmtree(folder)


class Database:
    """The database of a worker, emptied over one connection, a tenth of the computing of a new one each time."""

    _THERE = f"pg_relation_size(to_regclass('{TABLE}')) > 0"
    _EMPTY = f"DO $$ BEGIN IF {_THERE} THEN TRUNCATE {TABLE}; END IF; END $$"

    def __init__(self, url: str) -> None:
        self.url = url
        self._loop = asyncio.new_event_loop()
        self._connection: Any = None

    def empty(self) -> None:
        """Remove all entries, if there are any."""
        self._loop.run_until_complete(self._empty())

    async def _empty(self) -> None:
        try:
            if self._connection is not None:
                await self._connection.execute(self._EMPTY)
                return
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # a test ended all sessions
            self._connection.terminate()
        self._connection = await asyncpg.connect(self.url, timeout=10)
        await self._connection.execute(self._EMPTY)

    async def _close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    def close(self) -> None:
        self._loop.run_until_complete(self._close())
        self._loop.close()
