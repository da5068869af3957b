"""What asyncpg keeps to itself and is used here all the same: nowhere else in this package.

tests/postgres/test_library.py fails where a version of asyncpg has it no more.
"""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from typing import Any


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
