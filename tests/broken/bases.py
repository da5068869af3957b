"""What the broken backends are made of: sound ones, and the note which check must find the defect."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ad_seller.storage import NotConnectedError, StorageBackend, check_key, check_ttl, compile_glob, decode, encode
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend

B = TypeVar("B", bound=type[StorageBackend])


class SevenBackend(StorageBackend):
    """Seven methods on a dict of texts, with the parts that authors get wrong as methods of their own."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Any, float | None]] = {}
        self.connected = False
        self.busy = 0
        self.pid = 0

    async def connect(self) -> None:
        if self.pid != os.getpid():  # what the parent of a forked child waits for is none of our business
            self.busy, self.pid = 0, os.getpid()
        self.connected = True

    async def disconnect(self) -> None:
        self.connected = False
        while self.busy:  # noqa: ASYNC110 - each takes one turn of the event loop
            await asyncio.sleep(0)

    async def get(self, key: str) -> Any | None:
        found = await self.live(check_key(key))
        return None if found is None else self.load(found[0], key)

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        key, stored, ttl_ms = check_key(key), self.dump(value, key), check_ttl(ttl, key=key)
        await self.io()
        self.entries[key] = (stored, None if ttl_ms is None else self.now() + ttl_ms / 1000)

    async def delete(self, key: str) -> bool:
        existed = await self.live(check_key(key)) is not None
        self.entries.pop(key, None)
        return existed

    async def exists(self, key: str) -> bool:
        return await self.live(check_key(key)) is not None

    async def keys(self, pattern: str = "*") -> list[str]:
        glob = compile_glob(pattern)
        await self.io()
        return sorted(key for key in self.entries if self.is_live(key) and glob.matches(key))

    async def io(self) -> None:
        """The moment at which a real one would wait for its engine."""
        if not self.connected:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        self.busy += 1
        try:
            await asyncio.sleep(0)
        finally:
            self.busy -= 1

    async def live(self, key: str) -> tuple[Any, float | None] | None:
        await self.io()
        return self.entries[key] if self.is_live(key) else None

    def is_live(self, key: str) -> bool:
        _, expires_at = self.entries.get(key, (None, 0.0))
        return expires_at is None or self.now() < expires_at

    def now(self) -> float:
        return time.monotonic()

    def dump(self, value: Any, key: str) -> Any:
        return encode(value, key=key)

    def load(self, stored: Any, key: str) -> Any:
        return decode(stored, key=key)

    async def store_raw(self, key: str, text: bytes) -> None:
        self.entries[key] = (text, None)


async def turns(count: int) -> None:
    """Let other tasks run so many times: a window that is as wide on a slow machine as on a quick one."""
    for _ in range(count):
        await asyncio.sleep(0)


#: The `database_url` of each base.
URLS: dict[type[StorageBackend], str | None] = {
    SevenBackend: None,
    MemoryBackend: None,
    SQLiteBackend: "sqlite:///{folder}/store.db",
}


class Broken(NamedTuple):
    """A backend with one defect, and the check that is meant to find it.

    Attributes:
        backend: the class.
        check: the name of the check; in brackets the row of it that must fail, if it has several.
        hangs: whether the defect is that something never ends.
        is_silent: whether it does more than it declares, of which no try is a proof: the check only hints at it.
    """

    backend: type[StorageBackend]
    check: str
    hangs: bool
    is_silent: bool = False

    @property
    def name(self) -> str:
        return self.check.partition("[")[0]

    @property
    def row(self) -> str:
        return self.check.partition("[")[2].removesuffix("]")

    @property
    def base(self) -> type[StorageBackend]:
        return next(base for base in URLS if issubclass(self.backend, base))

    @property
    def spec(self) -> str:
        return f"{self.backend.__module__}:{self.backend.__qualname__}"


BROKEN: list[Broken] = []


def found_by(check: str, *, hangs: bool = False, is_silent: bool = False) -> Callable[[B], B]:
    """Note which check must fail for the class, and whether because it never ends; or must hint at its silence."""

    def note(backend: B) -> B:
        BROKEN.append(Broken(backend, check, hangs, is_silent))
        return backend

    return note
