"""PgBouncer where it is installed, and a small stand-in for it: each transaction of a client gets the next session.

The stand-in speaks just enough of the protocol (https://www.postgresql.org/docs/current/protocol-message-formats.html)
for asyncpg, and for a server that asks for no password. No package of Python brings the real one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from ad_seller.storage.testing.server_process import free_port

_SSL_REQUEST = 80877103
_PROTOCOL = 196608
_KNOWN = {b"user", b"database", b"client_encoding", b"application_name"}  # PgBouncer refuses the others, too

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
#: Which ones can be run here; the modes of the real one are named as in its configuration.
POOLERS = ["stand-in", *(["session", "transaction"] if PGBOUNCER else [])]

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


@asynccontextmanager
async def bouncer(url: str, mode: str) -> AsyncIterator[str]:
    """Yield the URL of a PgBouncer before the server; in transaction mode all share three sessions."""
    address, port = urlsplit(url), free_port()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "users").write_text(f'"{address.username}" ""\n')
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host={address.hostname} port={address.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
            f"pool_mode = {mode}\n" + ("default_pool_size = 3\n" if mode == "transaction" else "")
        )
        as_another = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to be root
        process = await asyncio.create_subprocess_exec(
            str(PGBOUNCER), "-q", *as_another, str(config), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _answers_on(port)
            yield f"postgresql://{address.username}@127.0.0.1:{port}{address.path}"
        finally:
            process.kill()
            await process.wait()


async def _answers_on(port: int, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return


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
