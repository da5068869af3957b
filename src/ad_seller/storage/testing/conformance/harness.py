"""What every section of the conformance tests stands on."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest

from ...base import StorageBackend
from .jobs import NewBackend

StoreRaw = Callable[[str, bytes], Awaitable[None]]

#: What begins the reason of a skip by `not_shown`.
NOT_SHOWN = "not shown: "


@pytest.mark.anyio
class Harness:
    """The fixtures that an author of a backend provides, and those that the tests are given."""

    #: How many operations the storms of cancellations start; fewer for a backend that is slow. With fewer,
    #: the largest listing has 1,203 entries instead of 10,243.
    storm_size: ClassVar[int] = 3000

    #: How long the largest listing may take, by what a smaller one took; a slower backend is not asked for it.
    listing_seconds: ClassVar[float] = 20.0

    #: Seconds; whatever takes longer to connect or to disconnect hangs.
    opening: ClassVar[float] = 30.0

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The library runs on asyncio only."""
        return "asyncio"

    @pytest.fixture
    def new_backend(self) -> NewBackend:
        """Return what makes backends that are not connected yet; **each subclass provides this**.

        All of them use one store, which is empty at the start of the test; a backend that keeps its entries
        in the instance declares neither `durable` nor `shared`. Other processes call it too, so pickle must be
        able to carry it: a class, or `functools.partial(TheBackend, url)`.
        """
        raise NotImplementedError("a conformance class provides the fixture new_backend")

    @pytest.fixture
    def store_raw(self) -> StoreRaw | None:
        """Return what writes any text as the stored value of a key, past the backend; None: not possible."""
        return None

    @pytest.fixture
    async def backend(self, new_backend: NewBackend) -> AsyncIterator[StorageBackend]:
        """A connected backend, closed after the test."""
        backend = new_backend()
        async with asyncio.timeout(self.opening):
            await backend.connect()
        yield backend
        async with asyncio.timeout(self.opening):
            await backend.disconnect()


def not_shown(reason: str) -> NoReturn:
    """End the check without a verdict: nothing was wrong, but what happened could not have brought it to light."""
    pytest.skip(f"{NOT_SHOWN}{reason}")


class Victims:
    """Calls that are to be cancelled; it counts those that were under way when that happened.

    Cancelled before its first step or after its last one, a call shows nothing about the backend.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.struck = 0

    def start(self, call: Callable[..., Awaitable[Any]], *arguments: Any) -> asyncio.Task[Any]:
        """Start a call in a task of its own."""
        return asyncio.ensure_future(self._run(call, arguments))

    async def _run(self, call: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        try:
            return await call(*arguments)
        except asyncio.CancelledError:
            self.struck += 1
            raise

    def show(self) -> None:
        """End the check without a verdict if none was struck."""
        if not self.struck:
            not_shown("no call could be cancelled while it was under way: it never lets other tasks run")


def need_second_instance(backend: StorageBackend) -> None:
    """Skip the test where another instance does not see the same entries."""
    if not (backend.capabilities.durable or backend.capabilities.shared):
        pytest.skip("declares neither durable nor shared: each instance has its own entries")


def need_sharing(backend: StorageBackend) -> None:
    """Skip the test where other processes cannot use the store at the same time."""
    if not backend.capabilities.shared:
        pytest.skip("does not declare shared")


def need_atomic_batches(backend: StorageBackend) -> None:
    """Skip the test where several entries are not read and written as one."""
    if not backend.capabilities.atomic_batches:
        pytest.skip("does not declare atomic_batches")


class Leftovers:
    """Threads and open files, counted before and after: what is there when nothing is connected."""

    def __init__(self) -> None:
        """Count what is there now."""
        self._before = self._count()

    async def check(self, seconds: float = 3.0) -> None:
        """Fail if there is more than before; what is closing may take a moment."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._more() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        assert not self._more(), f"left behind (before, now): {self._before}, {self._count()}"

    def _more(self) -> bool:
        return any(now > before for now, before in zip(self._count(), self._before, strict=True))

    @staticmethod
    def _count() -> tuple[int, int]:
        # The event loop's own pool, named asyncio_N, lives as long as the loop.
        threads = [one for one in threading.enumerate() if not one.name.startswith("asyncio_")]
        descriptors = Path(f"/proc/{os.getpid()}/fd")
        return len(threads), len(list(descriptors.iterdir())) if descriptors.exists() else 0
