"""Backends and functions that tests point the conformance kit at."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from ad_seller.storage import Capabilities, NotConnectedError, StorageBackend, StorageConnectionError, StorageError
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests.broken.bases import SevenBackend


class Failing(MemoryBackend):
    """One defect, which one check finds; the message of the backend holds a password."""

    async def exists(self, key: str) -> bool:
        if key == "missing":
            raise RuntimeError("cannot ask redis://user:hunter2@host/0")
        return await super().exists(key)


class Blocking(MemoryBackend):
    """Holds up the event loop for ever, as a driver that waits for a socket without awaiting."""

    async def create(self, key: str, value: Any, ttl: Any = None) -> bool:
        (Path(tempfile.gettempdir()) / "running").touch()
        while True:
            time.sleep(1)


class Waiting(MemoryBackend):
    """Waits for an answer that never comes, and lets others run."""

    async def create(self, key: str, value: Any, ttl: Any = None) -> bool:
        (Path(tempfile.gettempdir()) / "running").touch()
        await asyncio.Event().wait()
        return False


class BlockingFile(SQLiteBackend):
    """Holds up the event loop, and leaves an entry behind."""

    async def create(self, key: str, value: Any, ttl: Any = None) -> bool:
        await self.set(key, value)
        while True:
            time.sleep(1)


class Dying(MemoryBackend):
    """Takes the whole process along, as a crash in C code."""

    async def create(self, key: str, value: Any, ttl: Any = None) -> bool:
        os._exit(7)


class NeverWaits(SevenBackend):
    """A sound dict that never lets other tasks run, so that no call can be met half way."""

    async def io(self) -> None:
        if not self.connected:
            raise NotConnectedError("Storage not connected. Call connect() first.")


class ListsSlowly(MemoryBackend):
    """Sound, and writes fast; a listing takes 10 ms for each entry."""

    async def keys(self, pattern: str = "*") -> list[str]:
        found = await super().keys(pattern)
        await asyncio.sleep(len(found) * 0.01)
        return found


class OwnsItsFile(SQLiteBackend):
    """Durable, and for one open instance at a time."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(atomic="store", expiry="store", durable=True, atomic_batches=True)

    async def connect(self) -> None:
        self._held = getattr(self, "_held", None) or Path(f"{self.path}.held").open("a")  # noqa: SIM115
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageConnectionError(f"{self.path} is open elsewhere") from error
        await super().connect()

    async def disconnect(self) -> None:
        await super().disconnect()
        if getattr(self, "_held", None):
            self._held.close()
            self._held = None


class LosesWhatIsUnderWay(OwnsItsFile):
    """Acknowledges at once and writes a little later, but not once it is being closed."""

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        asyncio.get_running_loop().call_later(0.02, lambda: asyncio.ensure_future(self._late(key, value, ttl)))

    async def _late(self, key: str, value: Any, ttl: Any) -> None:
        with contextlib.suppress(StorageError):
            await super().set(key, value, ttl)


class Unreachable(MemoryBackend):
    async def connect(self) -> None:
        raise StorageConnectionError("No server answers at amqp://user:hunter2@host")


class Silent(MemoryBackend):
    async def connect(self) -> None:
        raise TimeoutError


class Exploding(MemoryBackend):
    def __init__(self) -> None:
        raise ZeroDivisionError("no backend today")


class Incomplete(StorageBackend):
    async def connect(self) -> None: ...


class Demanding(MemoryBackend):
    def __init__(self, tenant: str) -> None:
        super().__init__()
        self.tenant = tenant


def in_folder(folder: Path) -> StorageBackend:
    return SQLiteBackend(f"sqlite:///{folder}/store.db")


def plain() -> StorageBackend:
    return SevenBackend()


async def asynchronous() -> StorageBackend:
    return SevenBackend()


def nothing() -> None:
    return None


NUMBER = 7
