"""What asyncpg keeps to itself and is used here all the same: nowhere else in this package.

tests/postgres/test_library.py fails where a version of asyncpg has it no more.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

import asyncpg
from asyncpg import connect_utils

_OURS: Final = ContextVar("ad_seller_storage_connects", default=False)
_create_future: Final[Any] = getattr(connect_utils, "_create_future", None)


async def connect(**options: Any) -> Any:
    """Return what `asyncpg.connect` does; what an attempt that was given up still comes to is no news to anybody.

    Given up in the moment in which the server accepts, asyncpg leaves futures that nobody awaits, and asyncio
    reports their errors as never retrieved.
    """
    before = _OURS.set(True)
    try:
        return await asyncpg.connect(**options)
    finally:
        _OURS.reset(before)


def _future_of_an_attempt(loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = _create_future(loop)
    if _OURS.get():
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


if _create_future is not None:
    connect_utils._create_future = _future_of_an_attempt


def own_socket(raw: Any) -> socket.socket:
    """Return a socket object of our own for a connection of asyncpg.

    It has a descriptor of its own. So it can be used from any thread, whichever event loop the connection belongs
    to and whether that still runs: a loop may close its descriptor, and the number may soon mean something else.
    """
    return socket.socket(fileno=os.dup(raw._transport.get_extra_info("socket").fileno()))


def security_of(raw: Any) -> ssl.SSLContext | bool:
    """Return how a connection of asyncpg is secured, as `asyncpg.connect` takes it: False for not at all."""
    context: ssl.SSLContext | None = raw._transport.get_extra_info("sslcontext")
    return context or False


def forget_closed_loop(raw: Any) -> None:
    """Let a connection whose event loop is closed be collected as garbage without a word.

    asyncpg marks it as ended before it asks the loop for anything, which then fails.
    """
    with suppress(RuntimeError):
        raw.terminate()


def had_ended_before(error: BaseException) -> bool:
    """Tell whether asyncpg did not send: the news of the session's end had come, or it ended since it was prepared.

    In the second case asyncpg calls what it has put away (MagicStack/asyncpg, `Connection._do_execute`).
    """
    text = str(error)
    return text.startswith("cannot switch to state") or text == "'NoneType' object has no attribute 'bind_execute'"
