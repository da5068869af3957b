"""Where a process stands that does not end: every thread, and every task down to what it waits for."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_SIGNAL = signal.SIGUSR1
_END = "the end of all tasks"
_SECONDS = 5.0  #: that a process may take to tell; one that is stuck outside of Python tells its threads only


def tell_when_asked(path: Path) -> None:
    """Have this process write there where it stands, when it is asked by `where`; call it in the main thread."""
    file = path.open("w")  # stays open as long as the process lives

    def tell_tasks(*_: object) -> None:
        print(*tasks(), _END, sep="\n", file=file, flush=True)

    signal.signal(_SIGNAL, tell_tasks)
    faulthandler.register(_SIGNAL, file, all_threads=True, chain=True)  # threads at once, even if Python is stuck


def where(pid: int, path: Path) -> str:
    """Ask a process where it stands, and return what it wrote to its file."""
    if not path.exists():
        return "it has not begun"
    with suppress(ProcessLookupError):
        os.kill(pid, _SIGNAL)
    until = time.monotonic() + _SECONDS
    while _END not in (text := path.read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    return text


def tasks() -> Iterator[str]:
    """Say of each task of each event loop of this process what it waits for, the innermost last."""
    for task in [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]:
        if not task.done():
            yield repr(task)
            yield from _steps(task.get_coro())


def _steps(awaited: Any) -> Iterator[str]:
    while awaited is not None:
        frame = _first(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            return
        yield f"  File {frame.f_code.co_filename}, line {frame.f_lineno}, in {frame.f_code.co_qualname}"
        awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")


def _first(thing: object, *names: str) -> Any:
    return next((value for name in names if (value := getattr(thing, name, None)) is not None), None)
