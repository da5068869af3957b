"""Writers and readers that go on while servers come and go, and note what they were told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from ad_seller.storage import StorageBackend, StorageError

#: Seconds that a loaded machine may add to what is measured.
TOLERANCE = 4.0


@dataclass
class Failure:
    """What a caller was told, and how long it took."""

    error: StorageError
    seconds: float


@dataclass
class Load:
    """Callers in the background, each with keys of its own.

    Attributes:
        store: what they use.
        callers: how many write, and how many read.
        written: the number under each key whose write was acknowledged last.
        failures: of writers and readers.
        stale: what readers saw that was older than the last acknowledged write, or missing.
        slowest: seconds that the longest call took.
    """

    store: StorageBackend
    callers: int = 12
    prefix: str = "load"
    written: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def __post_init__(self) -> None:
        self._ending = False
        self._tasks: list[asyncio.Task[None]] = []
        self._last_good: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        for number in range(self.callers):
            self._tasks.append(asyncio.create_task(self._write(number)))
            self._tasks.append(asyncio.create_task(self._read(number)))
        await self.all_succeed(10)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        await asyncio.gather(*self._tasks)

    async def all_succeed(self, seconds: float) -> float:
        """Wait until every caller has succeeded with a call begun from now on; return how long it took."""
        since = time.monotonic()
        while True:
            good = sum(at > since for at in self._last_good.values())
            if good == 2 * self.callers:
                return time.monotonic() - since
            late = sorted(name for name, at in self._last_good.items() if at <= since)
            told = [str(failure.error) for failure in self.failures[-3:]]
            assert time.monotonic() < since + seconds, f"still failing after {seconds} s: {late}, {told}"
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.02)

    async def _write(self, caller: int) -> None:
        number = 0
        while not self._ending:
            number += 1
            # Three of four writes change an entry, each fourth makes a new one.
            key = f"{self.prefix}:{caller}:{number if number % 4 == 0 else 'same'}"
            if await self._call(f"w{caller}", self.store.set(key, {"n": number})) is not False:
                self.written[key] = number
            await asyncio.sleep(0.002)

    async def _read(self, caller: int) -> None:
        position = 0
        while not self._ending:
            await asyncio.sleep(0.002)
            keys = [key for key in self.written if key.startswith(f"{self.prefix}:{caller}:")]
            if not keys:
                continue
            position += 1
            key = keys[-position % len(keys)] if position % 2 else f"{self.prefix}:{caller}:same"
            least = self.written.get(key, 0)
            found = await self._call(f"r{caller}", self.store.get(key))
            if found is not False and (found or {"n": 0})["n"] < least:
                self.stale.append(f"{key}: {least} was acknowledged, {found} was read")

    async def _call(self, caller: str, operation: Any) -> Any:
        """Return the answer, or False after a failure; anything but our errors fails the test."""
        began = time.monotonic()
        try:
            answer = await operation
        except StorageError as error:
            self.failures.append(Failure(error, time.monotonic() - began))
            answer = False
        else:
            self._last_good[caller] = began
        self.slowest = max(self.slowest, time.monotonic() - began)
        return answer

    async def missing(self, store: StorageBackend) -> list[str]:
        """Return the keys whose acknowledged entry is not there, or older than acknowledged."""
        written = dict(self.written)
        found = await store.get_many(written)
        return [key for key, number in written.items() if found.get(key, {"n": 0})["n"] < number]

    def assert_clear(self, timeout: float = 5.0) -> None:
        """Check that failures came in time, and say what to do."""
        for failure in self.failures:
            assert failure.seconds < timeout + TOLERANCE, failure
            text = str(failure.error)
            assert len(text) > 20, failure
            assert "password" not in text.lower() or "check user and password" in text
