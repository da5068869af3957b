"""All that we use of redis-py beyond its documented interface, in this one file.

redis-py connects: address, TLS, login, database and every option of a URL. From then on its transport is ours.
tests/redis/test_redispy.py tells when a version of redis-py no longer has what is used here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct
from redis.asyncio import ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as ConnectionLostError

try:
    from redis.driver_info import DriverInfo
except ImportError:  # redis-py before 7.1 looks its version up only once
    _DRIVER: dict[str, Any] = {}
else:
    _DRIVER = {"driver_info": DriverInfo()}  #: reads a file for its version: not again for each connection

_LISTEN: Final = 0.25  #: seconds in which a server that closes connections has said why

#: Why there was no connection at all, so nobody who could have said something.
_NOBODY: Final = (ConnectionRefusedError, FileNotFoundError, PermissionError, socket.gaierror, ssl.SSLError)


class Connected(Struct, frozen=True):
    """A connection that redis-py has made, with no answer under way.

    Attributes:
        transport: what bytes go through; set a protocol of your own on it.
        parse_error: makes redis-py's exception from the text of a refusal.
    """

    transport: asyncio.Transport
    parse_error: Callable[[str], Exception]
    _connection: Any
    _streams: Any

    def tell_lost(self, error: Exception | None) -> None:
        """Tell redis-py's own streams that the connection has ended, or they complain when they are collected."""
        self._streams.connection_lost(error)

    def close(self) -> None:
        """Have redis-py forget it; the transport is still to be closed."""
        _forget(self._connection)


def check_options(url: str) -> None:
    """Connect nothing, but look at the options of a URL.

    Raises:
        Exception: one is unknown or wrong; redis-py has several classes for that.
    """
    _prepared(url, protocol=2)


async def connect(url: str, *, protocol: int, password: str | None = None) -> Connected:
    """Connect and log in, for as long as the caller waits; if that fails or is cancelled, nothing stays open.

    Args:
        url: as redis-py takes it.
        protocol: 2, or 3 for a connection on which the server also speaks unasked.
        password: in place of the one in the URL.

    Raises:
        redis.RedisError, OSError: the server cannot be reached, or refuses.
    """
    connection = _prepared(url, protocol=protocol, password=password)
    writer: asyncio.StreamWriter | None = None

    async def log_in(_: Any) -> None:
        nonlocal writer
        writer = connection._writer
        await connection.on_connect()

    connection.redis_connect_func = log_in
    try:
        await connection.connect()
    except BaseException as error:
        _forget(connection)
        if writer is not None:  # over TLS what redis-py has closed waits half a minute for the other's goodbye
            writer.transport.abort()
        may_have_spoken = isinstance(error, ConnectionLostError) and _may_have_spoken(error)
        if may_have_spoken and (words := await _last_words(connection)):
            raise ConnectionLostError(words) from error
        raise
    finally:
        connection.redis_connect_func = None  # it refers to the connection, which would wait for the collector
    transport: asyncio.Transport = connection._writer.transport
    return Connected(transport, connection._parser.parse_error, connection, transport.get_protocol())


def _forget(connection: Any) -> None:
    """Close the streams without waiting, and leave redis-py none to complain about; 5.0.0 has no method for it."""
    writer, connection._reader, connection._writer = connection._writer, None, None
    if writer is not None:
        writer.close()


def _may_have_spoken(error: ConnectionLostError) -> bool:
    return not isinstance(error, AuthenticationError) and not isinstance(error.__context__, _NOBODY)


async def _last_words(connection: Any) -> str:
    """Return what a server says that closes each connection at once, e.g. that it has too many clients.

    It writes that before anything was asked. Who has sent something by then hears only that the connection is
    lost, so this one sends nothing. Over TLS such a server says nothing.
    """
    if isinstance(connection, SSLConnection):
        return ""
    path = getattr(connection, "path", "")
    words = b""
    with suppress(OSError, TimeoutError, ValueError):  # a line without an end
        async with asyncio.timeout(_LISTEN):
            if path:
                reader, writer = await asyncio.open_unix_connection(path)
            else:
                reader, writer = await asyncio.open_connection(connection.host, connection.port)
            try:
                words = await reader.readline()
            finally:
                writer.transport.abort()
    return words[1:].decode(errors="replace").strip().removeprefix("ERR ") if words.startswith(b"-") else ""


def _prepared(url: str, *, protocol: int, password: str | None = None) -> Any:
    """Return a connection of redis-py that is not connected yet."""
    pool = ConnectionPool.from_url(
        url,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        protocol=protocol,
        decode_responses=False,
        **({} if "lib_" in url else _DRIVER),
    )
    if password is not None:
        pool.connection_kwargs["password"] = password  # what is in the URL comes before an argument
    connection = pool.make_connection()  # type: ignore[no-untyped-call]
    # With a time limit, be it the URL's, it sends by `asyncio.wait_for`, which on Python 3.11 passes over some
    # cancellations (https://github.com/python/cpython/issues/86296): a caller out of time waited as long again.
    connection.socket_timeout = None
    return connection
