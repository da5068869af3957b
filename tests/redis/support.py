"""A plain client beside the backend, a server that says what it was told to say, and a stop-watch."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import redis

JOBS = "tests.redis.jobs"

#: Seconds that a loaded machine may add to what is measured.
TOLERANCE = 4.0


@contextmanager
def plain(url: str) -> Iterator[Any]:
    """A client as other programs use it; its answers are bytes."""
    client: Any = redis.Redis.from_url(url)
    try:
        yield client
    finally:
        client.close()


def calls(url: str) -> dict[str, int]:
    """Return how often each command was called since the last CONFIG RESETSTAT, apart from our own looks."""
    with plain(url) as client:
        stats = client.info("commandstats")
    own = {
        "info",
        "config",
        "config|resetstat",
        "client",
        "client|setinfo",
        "client|list",
        "select",
        "auth",
        "hello",
    }
    return {
        name: numbers["calls"]
        for full, numbers in stats.items()
        if (name := full.removeprefix("cmdstat_")) not in own
    }


@asynccontextmanager
async def answering(answer: bytes, to: bytes) -> AsyncIterator[int]:
    """A server that gives ``answer`` to each request that contains ``to``, else OK; yields its port."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                commands = data.split(b"\r\n*")
                writer.write(b"".join(answer if to in command else b"+OK\r\n" for command in commands))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        await asyncio.sleep(0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def timed(call: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """Return the result, or the exception, and the seconds that it took."""
    started = time.monotonic()
    try:
        result = await call
    except Exception as error:
        result = error
    return result, time.monotonic() - started
