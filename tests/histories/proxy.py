"""A TCP proxy that breaks connections and slows them down, in a thread of its own."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK = 65_536


class Proxy:
    """Stands between clients and one server on this machine.

    Args:
        server_port: where the server listens; it may come and go.
        seed: where the choices come from.

    Attributes:
        port: where clients connect.
        cut_requests: chance that a request is cut short, anywhere between its first byte and its last, and its
            connection with it.
        cut_answers: chance that an answer is, so that the request was executed and its caller is not told.
        delay: seconds that each piece of data is held up.
        cuts: how many connections were broken.
    """

    def __init__(self, server_port: int, seed: str = "") -> None:
        self.port = 0
        self.cut_requests = self.cut_answers = self.delay = 0.0
        self.cuts = 0
        self._server_port = server_port
        self._chance = random.Random(f"{seed} proxy")
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def behave(self) -> None:
        """Pass everything on, at once."""
        self.cut_requests = self.cut_answers = self.delay = 0.0

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(tasks, timeout=5) if tasks else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until either side ends it, or we do."""
        try:
            upstream, out = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, out}
        self._writers |= ends
        try:
            requests = asyncio.create_task(self._pass_on(reader, out, "cut_requests"))
            answers = asyncio.create_task(self._pass_on(upstream, writer, "cut_answers"))
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
            for task in (requests, answers):
                task.cancel()
            await asyncio.gather(requests, answers, return_exceptions=True)
        finally:
            for end in ends:
                end.close()
            self._writers -= ends

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: str) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self._chance.random() < getattr(self, chance):
                    self.cuts += 1
                    writer.write(data[: self._chance.randrange(len(data) + 1)])
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()
