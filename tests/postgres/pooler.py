"""A small stand-in for PgBouncer in transaction mode: each transaction of a client gets the next session in turn.

It speaks just enough of the protocol (https://www.postgresql.org/docs/current/protocol-message-formats.html) for
asyncpg, and for a server that asks for no password. No package of Python brings the real one; by hand, conformance
and atomic tests were run on PgBouncer 1.18 (pool_mode=transaction, default_pool_size=5), `statement_cache=False`.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_SSL_REQUEST = 80877103
_PROTOCOL = 196608
_KNOWN = {b"user", b"database", b"client_encoding", b"application_name"}  # PgBouncer refuses the others, too

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def pooled(url: str, sessions: int = 3) -> AsyncIterator[str]:
    """Yield the URL of a pooler before the server."""
    address = urlsplit(url)
    user, database = str(address.username), address.path[1:]
    pooler = _Pooler()
    for _ in range(sessions):
        await pooler.log_in(*await asyncio.open_connection(address.hostname, address.port), user, database)
    server = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"postgresql://{user}@127.0.0.1:{port}/{database}"
    server.close()
    await pooler.close()


class _Pooler:
    def __init__(self) -> None:
        self._free: asyncio.Queue[Stream] = asyncio.Queue()
        self._all: list[Stream] = []
        self._clients: set[asyncio.Task[None]] = set()
        self._greeting = b""

    async def log_in(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: str, database: str
    ) -> None:
        """Open a session and remember how the server greets."""
        options = f"user\0{user}\0database\0{database}\0client_encoding\0utf-8\0\0".encode()
        writer.write(struct.pack("!II", len(options) + 8, _PROTOCOL) + options)
        greeting = b""
        while not greeting.endswith(b"Z\0\0\0\x05I"):
            greeting += _packed(*await _message(reader))
        self._greeting = greeting
        self._all.append((reader, writer))
        self._free.put_nowait((reader, writer))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if await self._greet(reader, writer):
                while (message := await _message(reader))[0] != b"X":
                    await self._transaction(message, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            self._clients.discard(task)
            writer.close()

    async def close(self) -> None:
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        for _, writer in self._all:
            writer.close()
            await writer.wait_closed()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            [length] = struct.unpack("!I", await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            if struct.unpack("!I", body[:4])[0] != _SSL_REQUEST:
                break
            writer.write(b"N")
        unknown = set(body[4:].rstrip(b"\0").split(b"\0")[::2]) - _KNOWN
        if unknown:
            text = b"unsupported startup parameter: " + min(unknown)
            writer.write(_packed(b"E", b"SFATAL\0VFATAL\0C08P01\0M" + text + b"\0\0"))
        else:
            writer.write(self._greeting)
        await writer.drain()
        return not unknown

    async def _transaction(
        self, message: tuple[bytes, bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass messages to one session until it is outside of a transaction."""
        session = await self._free.get()
        while True:
            session[1].write(_packed(*message))
            if message[0] == b"H":  # Flush, after Parse and Describe
                await self._answers(session, writer, b"TnE")
            elif message[0] in b"SQ" and await self._answers(session, writer, b"Z") == b"I":
                break
            message = await _message(reader)
        self._free.put_nowait(session)

    async def _answers(self, session: Stream, writer: asyncio.StreamWriter, last: bytes) -> bytes:
        """Pass answers to the client, up to one of the kinds in ``last``; return its body."""
        while True:
            kind, body = await _message(session[0])
            writer.write(_packed(kind, body))
            if kind in last:
                await writer.drain()
                return body


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!cI", await reader.readexactly(5))
    return kind, await reader.readexactly(length - 4)


def _packed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body
