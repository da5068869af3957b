"""The proxy passes everything on, cuts requests and answers anywhere, slows down, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.proxy import Proxy

REQUEST = b"x" * 1000


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, list[int]]]:
    """A server that gives back what comes; yields its port, and how many bytes each connection brought."""
    got: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(0)
        number = len(got) - 1
        try:
            while data := await reader.read(65_536):
                got[number] += len(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], got


async def ask(port: int) -> bytes:
    """Send a request, and return what comes back until all is there or the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(REQUEST)
        return await asyncio.wait_for(reader.readexactly(len(REQUEST)), 10)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except ConnectionError:
        return b""
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_passes_on_and_breaks() -> None:
    threads = threading.active_count()
    async with echo() as (port, got):
        with Proxy(port, "seed") as proxy:
            assert await ask(proxy.port) == REQUEST
            proxy.cut_requests = 1.0
            answers = [await ask(proxy.port) for _ in range(20)]
            assert proxy.cuts == 20
            assert all(len(answer) <= number for answer, number in zip(answers, got[1:], strict=True))
            assert len(set(got)) > 5, "cut at different places"
            proxy.behave()
            proxy.cut_answers = 1.0
            del got[:]
            answers = [await ask(proxy.port) for _ in range(20)]
            assert got == [len(REQUEST)] * 20, "the server got each request"
            assert len({len(answer) for answer in answers}) > 5
            proxy.behave()
            proxy.delay = 0.05
            began = asyncio.get_running_loop().time()
            assert await ask(proxy.port) == REQUEST
            assert asyncio.get_running_loop().time() - began >= 0.1
    assert threading.active_count() == threads


async def test_a_server_that_is_not_there_ends_the_connection() -> None:
    async with echo() as (port, _):
        pass
    with Proxy(port) as proxy:
        assert await ask(proxy.port) == b""
