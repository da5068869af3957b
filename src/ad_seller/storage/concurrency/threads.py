"""Blocking work in a thread that keeps nobody from leaving."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from .tasks import settle

R = TypeVar("R")


async def in_thread(function: Callable[[], R]) -> R:
    """Return what ``function`` returns in a thread of its own; a cancelled caller does not wait for its end.

    The threads of `asyncio.to_thread` are waited for when the event loop is closed: one that reads from a terminal
    or writes into a full pipe would keep the program from ending. These are daemons.
    """
    done, work = answering(function)
    threading.Thread(target=work, name="ad-seller-storage-work", daemon=True).start()
    return await done


def answering(function: Callable[[], R]) -> tuple[asyncio.Future[R], Callable[[], None]]:
    """Return a future of the running event loop, and what another thread runs to answer it with ``function``."""
    done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
    return done, telling(function, partial(settle, done))


def telling(
    function: Callable[[], R], tell: Callable[[R | None, BaseException | None], object]
) -> Callable[[], None]:
    """Return what another thread runs so that this event loop calls ``tell`` with what came of ``function``."""
    loop = asyncio.get_running_loop()

    def work() -> None:
        nonlocal function, tell, loop
        result, error = None, None
        try:
            result = function()
        except BaseException as failure:
            error = failure
        with suppress(RuntimeError):  # the event loop has ended, nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)
        del function, tell, loop  # a thread that waits for more holds what it did last

    return work
