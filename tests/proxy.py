"""A TCP proxy that breaks connections, slows them down, loses answers or holds them, in a thread of its own."""

from __future__ import annotations

import asyncio
import random
import ssl
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
        tls: for the clients, if they are to speak TLS; the server does not.

    Attributes:
        port: where clients connect.
        cut_requests: chance that a request is cut short, anywhere between its first byte and its last, and its
            connection with it.
        cut_answers: chance that an answer is, so that the request was executed and its caller is not told.
        delay: seconds that each piece of data is held up.
        hold: nothing that the server says is passed on while this is set.
        era: connections of an earlier era are dead without a sign, as behind a firewall that has forgotten them.
        cuts: how many connections were broken.
        ended: how many are over, on both sides.
        lose: when a request contains this, it reaches the server, and its connection is cut before the answer.
        lost: how many answers were lost.
    """

    def __init__(self, server_port: int, seed: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.cut_requests = self.cut_answers = self.delay = 0.0
        self.hold = False
        self.era = 0
        self.lose: bytes | None = None
        self.cuts = self.ended = self.lost = 0
        self._lose_once = False
        self._tls = tls
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

    def lose_once(self, request: bytes) -> None:
        """Lose the answer to the next request that contains this, and no other."""
        self._lose_once, self.lose = True, request

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
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
        losing = asyncio.Event()
        try:
            requests = asyncio.create_task(self._requests(reader, out, losing, self.era))
            answers = asyncio.create_task(self._answers(upstream, writer, losing, self.era))
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
            for task in (requests, answers):
                task.cancel()
            await asyncio.gather(requests, answers, return_exceptions=True)
        finally:
            for end in ends:
                end.close()
            self._writers -= ends
            self.ended += 1

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event, era: int
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                if era != self.era:
                    continue
                if self.lose is not None and self.lose in data:
                    losing.set()
                    if self._lose_once:
                        self.lose, self._lose_once = None, False
                if not await self._pass_on(data, writer, self.cut_requests):
                    return

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event, era: int
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                while self.hold:  # noqa: ASYNC110 - set by another thread
                    await asyncio.sleep(0.002)
                if era != self.era:
                    continue
                if losing.is_set():
                    self.lost += 1
                    return
                if not await self._pass_on(data, writer, self.cut_answers):
                    return

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter, cut: float) -> bool:
        """Pass data on, or a part of it; tell whether the connection goes on."""
        if self.delay:
            await asyncio.sleep(self.delay)
        whole = self._chance.random() >= cut
        if not whole:
            self.cuts += 1
            data = data[: self._chance.randrange(len(data) + 1)]
        writer.write(data)
        await writer.drain()
        return whole
