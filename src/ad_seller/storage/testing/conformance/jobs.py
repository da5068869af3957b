"""What conformance tests have done by other processes, and how they start them."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from ...base import StorageBackend

#: Makes an instance that is not connected yet; all instances share one store, empty at the start of a test.
NewBackend = Callable[[], StorageBackend]
Job = Callable[..., Coroutine[Any, Any, None]]

_MAIN = f"from {__name__} import main; main()"
_SECONDS = 60.0


async def run_elsewhere(new_backend: NewBackend, job: Job, *arguments: object, seconds: float = _SECONDS) -> None:
    """Run ``job(new_backend, *arguments)`` in a process of its own, and fail if that fails or does not end."""
    try:
        order = pickle.dumps((new_backend, job, arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AssertionError(
            "The fixture new_backend must return something that pickle can carry to another process, "
            "e.g. functools.partial(SQLiteBackend, url)"
        ) from error
    done = await asyncio.to_thread(_run, order, seconds)
    assert done.returncode == 0, f"{job.__name__} failed in another process:\n{done.stderr.decode()}"


def _run(order: bytes, seconds: float) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", _MAIN],
        input=order,
        capture_output=True,
        timeout=seconds,
        env=environment,
        check=False,
    )


def main() -> None:
    """Do what stands on the standard input."""
    new_backend, job, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301
    asyncio.run(job(new_backend, *arguments))


async def add_sessions(new_backend: NewBackend, pricing_key: str, session_ids: list[str]) -> None:
    """Add sessions to a buyer's index, ten at a time."""
    async with new_backend() as backend:
        for start in range(0, len(session_ids), 10):
            group = session_ids[start : start + 10]
            await asyncio.gather(*(backend.add_session_to_buyer_index(one, pricing_key) for one in group))


async def write_entries(new_backend: NewBackend, prefix: str, count: int) -> None:
    """Write entries, ten at a time, and read each one back."""
    async with new_backend() as backend:
        for start in range(0, count, 10):
            names = [f"{prefix}{number}" for number in range(start, min(start + 10, count))]
            await asyncio.gather(*(backend.set(name, {"name": name}) for name in names))
            assert await backend.get_many(names) == {name: {"name": name} for name in names}


async def count_up(new_backend: NewBackend, key: str, times: int) -> None:
    """Increment a counter."""
    async with new_backend() as backend:
        for _ in range(times):
            await backend.increment(key)


async def forget_to_disconnect(new_backend: NewBackend, key: str) -> None:
    """Write an entry, use the backend in other ways, and end without closing it."""
    backend = new_backend()
    await backend.connect()
    await backend.set(key, "written")
    assert await backend.get(key) == "written"
    assert await backend.keys(key) == [key]
