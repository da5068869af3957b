"""A plain client beside the backend, and a proxy that loses answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import redis

JOBS = "tests.redis.jobs"

#: Seconds that a loaded machine may add to what is measured.
TOLERANCE = 2.0


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


class Proxy:
    """Stands between a client and a server, and can lose answers.

    Attributes:
        port: where it listens.
        lose: when a request contains this, it reaches the server, and its connection is cut before the answer.
        lost: how many answers were lost.
    """

    def __init__(self, server_port: int) -> None:
        """Pass everything on, for the time being."""
        self.port = 0
        self.lose: bytes | None = None
        self.lost = 0
        self._once = False
        self._server_port = server_port
        self._writers: set[asyncio.StreamWriter] = set()

    def lose_once(self, request: bytes) -> None:
        """Lose the answer to the next request that contains this, and no other."""
        self.lose, self._once = request, True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until either side ends it."""
        upstream, out = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._writers |= {writer, out}
        cut = asyncio.Event()
        answers = asyncio.create_task(self._answers(upstream, writer, cut))
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if self.lose is not None and self.lose in data:
                    cut.set()
                    if self._once:
                        self.lose = None
                out.write(data)
                await out.drain()
        out.close()
        await answers

    async def _answers(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await upstream.read(65_536):
                if cut.is_set():
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.close()

    async def close(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def proxied(server_port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """Run a proxy before the server at ``server_port``, which speaks TLS to the clients if it has a context."""
    proxy = Proxy(server_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await asyncio.sleep(0)


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
