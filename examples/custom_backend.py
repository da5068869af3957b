"""A backend of one's own, in seven methods: each entry is a file in a directory.

A file holds two lines of JSON: what is known about the value, then the value.
"""

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ad_seller.storage import (
    TTL,
    Capabilities,
    ConfigurationError,
    MissingKeyError,
    NotConnectedError,
    StorageBackend,
    StoreUnavailableError,
    check_key,
    check_ttl,
    compile_glob,
    decode,
    encode,
)

R = TypeVar("R")
SCHEME = "directory:///"  # with one more slash for an absolute path
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
LONG = "+"  # starts the file names of long keys, and no others


class DirectoryBackend(StorageBackend):
    """Entries as files, for one process at a time."""

    def __init__(self, database_url: str) -> None:
        if not database_url.startswith(SCHEME):
            raise ConfigurationError(f"The URL of a directory starts with {SCHEME}")
        self._directory = Path(database_url.removeprefix(SCHEME))
        self._worker: ThreadPoolExecutor | None = None
        self._pid = 0
        self._turn = asyncio.Lock()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(durable=True, expiry="store")

    # --- the seven methods: check the arguments, then hand the work to the worker ----------------------

    async def connect(self) -> None:
        async with self._turn:
            if self._worker is None or self._pid != os.getpid():
                worker = ThreadPoolExecutor(max_workers=1)
                try:
                    await self._run(worker, self._prepare)
                except BaseException:  # also when we are cancelled
                    worker.shutdown(wait=False)
                    raise
                self._worker, self._pid = worker, os.getpid()

    async def disconnect(self) -> None:
        async with self._turn:
            worker, self._worker = self._worker, None
            if worker is not None and self._pid == os.getpid():
                worker.shutdown(wait=False)  # also if we are cancelled while we wait for what is under way
                await asyncio.to_thread(worker.shutdown)

    async def get(self, key: str) -> Any | None:
        text = await self._run(self._here(), self._read, check_key(key))
        return None if text is None else decode(text, key=key)

    async def set(self, key: str, value: Any, ttl: TTL | None = None) -> None:
        key, text, ttl_ms = check_key(key), encode(value, key=key), check_ttl(ttl, key=key)
        await self._run(self._here(), self._write, key, text, ttl_ms)

    async def delete(self, key: str) -> bool:
        return await self._run(self._here(), self._remove, check_key(key))

    async def exists(self, key: str) -> bool:
        return await self._run(self._here(), self._read, check_key(key)) is not None

    async def keys(self, pattern: str = "*") -> list[str]:
        glob = compile_glob(pattern)
        found = await self._run(self._here(), self._find, glob.prefix)
        return sorted(key for key in found if glob.matches(key))

    # --- one more: without it, an update after a restart could not keep an expiry ----------------------

    async def ttl(self, key: str) -> float | None:
        return await self._run(self._here(), self._left, check_key(key))

    # --- the worker: one thread, so that nothing overtakes what came before it -------------------------

    def _here(self) -> ThreadPoolExecutor:
        if self._worker is None:
            raise NotConnectedError("Storage not connected. Call connect() first.")
        if self._pid != os.getpid():  # after os.fork: the thread stayed with the parent
            raise NotConnectedError("Storage connected in the parent process. Call connect() here.")
        return self._worker

    async def _run(self, worker: ThreadPoolExecutor, work: Callable[..., R], *about: Any) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(worker, work, *about)
        except OSError as error:
            raise StoreUnavailableError(
                f"Cannot use {self._directory}: {error}", key=next(iter(about), None)
            ) from error

    def _prepare(self) -> None:
        """Make the directory, and remove what crashes and expiries have left in it."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = [path for path in self._directory.glob("*.tmp") if time.time() - path.stat().st_mtime > 60]
        for path in left + [path for path in self._directory.glob("*.jsonl") if self._load(path) is None]:
            path.unlink()

    def _load(self, path: Path) -> tuple[str, bytes, float | None] | None:
        """Return key, text and seconds left of a live entry, None if there is none or its time is up."""
        try:
            head, _, text = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        key, expires_at = decode(head, key=path.name)
        left = None if expires_at is None else expires_at - time.time()
        return (key, text, left) if left is None or left > 0 else None

    def _read(self, key: str) -> bytes | None:
        entry = self._load(self._path(key))
        return None if entry is None else entry[1]

    def _left(self, key: str) -> float | None:
        entry = self._load(self._path(key))
        if entry is None:
            raise MissingKeyError(f"There is no entry under {key!r}", key=key)
        return entry[2]

    def _write(self, key: str, text: bytes, ttl_ms: int | None) -> None:
        """Write a second file, then put it in the place of the first: a crash leaves one or the other."""
        head = encode([key, None if ttl_ms is None else time.time() + ttl_ms / 1000])
        with tempfile.NamedTemporaryFile(dir=self._directory, suffix=".tmp", delete=False) as file:  # 0600
            file.write(head + b"\n" + text)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self._path(key))

    def _remove(self, key: str) -> bool:
        existed = self._read(key) is not None
        self._path(key).unlink(missing_ok=True)  # also what has expired
        return existed

    def _find(self, prefix: str) -> list[str]:
        starts = (_escaped(prefix), LONG)
        paths = [path for path in self._directory.glob("*.jsonl") if path.name.startswith(starts)]
        return [entry[0] for entry in map(self._load, paths) if entry is not None]

    def _path(self, key: str) -> Path:
        name = _escaped(key)
        if len(name) > 200:
            name = LONG + hashlib.sha256(key.encode()).hexdigest()
        return self._directory / f"{name}.jsonl"


def _escaped(key: str) -> str:
    """Write a key in characters that every file system takes, and that differ by more than their case."""
    return "".join(chr(byte) if byte in PLAIN else f"%{byte:02x}" for byte in key.encode())
