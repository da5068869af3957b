"""What conformance tests have done by other processes, and how they start them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...base import StorageBackend

#: Makes an instance that is not connected yet; all instances share one store, empty at the start of a test.
NewBackend = Callable[[], StorageBackend]
Job = Callable[..., Coroutine[Any, Any, None]]

_COMMAND = (sys.executable, "-c", f"from {__name__} import main; main()")
_SECONDS = 60.0

#: Starts a process; the package's own tests have one that is quicker.
Popen: type[subprocess.Popen[bytes]] = subprocess.Popen


async def run_elsewhere(new_backend: NewBackend, job: Job, *arguments: object, seconds: float = _SECONDS) -> None:
    """Run ``job(new_backend, *arguments)`` in a process of its own, and fail if that fails or does not end."""
    order = _order(new_backend, job, arguments)
    code, errors = await asyncio.to_thread(_run, order, seconds)
    assert code == 0, f"{job.__name__} failed in another process:\n{errors.decode()}"


@dataclass(frozen=True)
class Meeting:
    """Where processes wait for each other, so that what they do is under way at the same time.

    Attributes:
        folder: where each of them leaves a file; not the store, which may be what is wrong.
        expected: how many they are.
    """

    folder: str
    expected: int

    def has_begun(self) -> bool:
        """Tell whether anybody is here."""
        return any(Path(self.folder).iterdir())

    async def begin(self) -> None:
        """Wait until all of them are here."""
        await asyncio.to_thread(self._begin)

    def _begin(self) -> None:
        folder = Path(self.folder)
        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < self.expected:
            time.sleep(0.002)


async def run_together(new_backend: NewBackend, job: Job, *rows: tuple[object, ...]) -> None:
    """Run ``job(new_backend, meeting, *row)`` for each row in a process of its own, all at the same time."""
    with tempfile.TemporaryDirectory() as folder:
        meeting = Meeting(folder, len(rows))
        await asyncio.gather(*(run_elsewhere(new_backend, job, meeting, *row) for row in rows))


@contextlib.asynccontextmanager
async def started_elsewhere(
    new_backend: NewBackend, job: Job, *arguments: object
) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Start ``job(new_backend, *arguments)`` in a process of its own; it is killed at the end of the block."""
    process = _launch(subprocess.DEVNULL)
    try:
        assert process.stdin is not None
        process.stdin.write(_order(new_backend, job, arguments))
        process.stdin.close()
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
        assert process.stdout is not None
        process.stdout.close()


def _order(new_backend: NewBackend, job: Job, arguments: tuple[object, ...]) -> bytes:
    try:
        return pickle.dumps((new_backend, job, arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AssertionError(
            "The fixture new_backend must return something that pickle can carry to another process, "
            "e.g. functools.partial(SQLiteBackend, url)"
        ) from error


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _run(order: bytes, seconds: float) -> tuple[int, bytes]:
    """Return the exit code and what it wrote to standard error."""
    with _launch(subprocess.PIPE) as process:
        try:
            _, errors = process.communicate(order, seconds)
        except BaseException:
            process.kill()
            raise
        return process.returncode, errors


def _launch(errors: int) -> subprocess.Popen[bytes]:
    return Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_environment())


async def in_forked_child(work: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    """Run ``work`` in a child made by `os.fork`, and fail if that fails or hangs."""
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads at a fork
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(int(seconds))
            asyncio.run(work())
            status = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)
    try:
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    except asyncio.CancelledError:
        os.kill(pid, signal.SIGKILL)
        raise
    assert not os.WIFSIGNALED(status), f"the child hung or crashed: signal {os.WTERMSIG(status)}"
    assert os.WEXITSTATUS(status) == 0, "the child failed; its traceback stands on stderr"


def main() -> None:
    """Do what stands on the standard input."""
    new_backend, job, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301
    asyncio.run(job(new_backend, *arguments))


async def add_sessions(new_backend: NewBackend, pricing_key: str, session_ids: list[str]) -> None:
    """Add sessions to a buyer's index, ten at a time."""
    async with new_backend() as backend:
        await _add_sessions(backend, pricing_key, session_ids)


async def _add_sessions(backend: StorageBackend, pricing_key: str, session_ids: list[str]) -> None:
    for start in range(0, len(session_ids), 10):
        group = session_ids[start : start + 10]
        await asyncio.gather(*(backend.add_session_to_buyer_index(one, pricing_key) for one in group))


async def add_sessions_together(
    new_backend: NewBackend, meeting: Meeting, pricing_key: str, session_ids: list[str]
) -> None:
    """Add sessions to a buyer's index, ten at a time, while others do."""
    async with new_backend() as backend:
        await meeting.begin()
        await _add_sessions(backend, pricing_key, session_ids)


async def write_entries(new_backend: NewBackend, prefix: str, count: int) -> None:
    """Write entries, ten at a time, and read each one back."""
    async with new_backend() as backend:
        for start in range(0, count, 10):
            names = [f"{prefix}{number}" for number in range(start, min(start + 10, count))]
            await asyncio.gather(*(backend.set(name, {"name": name}) for name in names))
            assert await backend.get_many(names) == {name: {"name": name} for name in names}


async def count_up(new_backend: NewBackend, meeting: Meeting, key: str, times: int) -> None:
    """Increment a counter while others do."""
    async with new_backend() as backend:
        await meeting.begin()
        for _ in range(times):
            await backend.increment(key)


async def forget_to_disconnect(new_backend: NewBackend, key: str) -> None:
    """Write an entry, use the backend in other ways, and end without closing it."""
    backend = new_backend()
    await backend.connect()
    await backend.set(key, "written")
    assert await backend.get(key) == "written"
    assert await backend.keys(key) == [key]
