"""A server of PostgreSQL's protocol that dies at a given step of each session, and counts how many were tried."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Step = Literal["accepted", "asked for TLS", "asked to begin", "begun", "set up"]

_SSL_REQUEST = 80877103


class DyingServer:
    """Ends each session ``delay`` seconds after a step of it.

    Attributes:
        port: where it listens.
        sessions: how many were tried.
        healthy: the port of a real server, to which new sessions lead as soon as this is set.
    """

    def __init__(self, step: Step, delay: float = 0.0) -> None:
        self._step = step
        self._delay = delay
        self.port = self.sessions = self.healthy = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        try:
            if self.healthy:
                await _pass_on(reader, writer, self.healthy)
                return
            await self._until_it_dies(reader, writer)
            await asyncio.sleep(self._delay)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client was faster
        finally:
            writer.close()

    async def _until_it_dies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._step == "accepted":
            return
        while await _start(reader) == _SSL_REQUEST:
            if self._step == "asked for TLS":
                return
            writer.write(b"N")
        if self._step == "asked to begin":
            return
        greeting = {b"R": struct.pack("!i", 0), b"K": struct.pack("!ii", 1, 2), b"S": b"server_version\x0015.0\0"}
        writer.writelines(_message(kind, body) for kind, body in (greeting | {b"Z": b"I"}).items())
        if self._step == "set up":
            await reader.readexactly(1)
            await _start(reader)
            writer.writelines((_message(b"C", b"SELECT 1\0"), _message(b"Z", b"I")))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


async def _start(reader: asyncio.StreamReader) -> int:
    """Read a message, and return the number that one without a letter begins with; a goodbye has none."""
    (size,) = struct.unpack("!i", await reader.readexactly(4))
    return int.from_bytes((await reader.readexactly(size - 4))[:4])


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@asynccontextmanager
async def dying(step: Step, delay: float = 0.0) -> AsyncIterator[DyingServer]:
    """Run one."""
    server = DyingServer(step, delay)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
