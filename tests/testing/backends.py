"""Backends and functions that tests point the conformance kit at."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ad_seller.storage import StorageBackend, StorageConnectionError
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
        while True:
            time.sleep(1)


class Dying(MemoryBackend):
    """Takes the whole process along, as a crash in C code."""

    async def create(self, key: str, value: Any, ttl: Any = None) -> bool:
        os._exit(7)


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
