"""The connections to the Redis server of schedules: what is sent, and what arrives, takes time or is lost."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hiredis import PushNotification

from ad_seller.storage.driver.failures import LostError, NotSentError
from ad_seller.storage.redis.connection import RedisConnection
from ad_seller.storage.redis.router import RedisRouter
from ad_seller.storage.redis_backend import RedisBackend
from tests.schedules.redis_server import PREFIX, Server


class Beneath:
    """What lies beneath a connection: its transport, what redis-py keeps of it, the look at what has arrived.

    Args:
        shows: tells whether the end of the connection, or news, have arrived.
        ended: called when it is closed.
    """

    def __init__(self, shows: Callable[[], bool], ended: Callable[[], object]) -> None:
        self._shows = shows
        self._ended = ended
        self._is_closed = False

    def poll(self, _: int) -> bool:
        return self._shows()

    def write(self, data: bytes) -> None:
        """The commands go to the server as they are."""

    def is_closing(self) -> bool:
        return self._is_closed

    def abort(self) -> None:
        self._is_closed = True
        self._ended()

    def close(self) -> None:
        """There are no streams."""

    def tell_lost(self, error: Exception | None) -> None:
        """Likewise."""


class Wire(RedisConnection):
    """A connection with its own deadlines and exchanges; only what lies beneath is another.

    Attributes:
        scopes: the beginnings of the names of which its other side is told.
    """

    def __init__(self, server: Server, on_push: Callable[[list[Any]], None] | None = None) -> None:
        self._server = server
        self._world = server.world
        self._loop = server.world.loop
        self._on_push = on_push
        self.scopes: list[bytes] = []
        self.is_doubtful = False
        self._is_cut = False
        self._exchanges = deque()
        self._timer = None
        self._requests: deque[Sequence[Any]] = deque()
        self._round: list[Any] = []  # answers that leave when the server's round ends
        self._arriving: deque[Any] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        beneath: Any = Beneath(self._shows, self._gone)
        self._transport = self._connected = self._readable = beneath
        server.wires.append(self)

    def send(self, commands: Sequence[Any], deadline: float) -> asyncio.Future[list[Any]]:
        future = super().send(commands, deadline)
        self._requests += commands
        self._go("serve", self._serve)
        return future

    def _shows(self) -> bool:
        """Tell whether the end or news of a connection have arrived; they may still be on their way."""
        return bool(self._is_cut or self._arriving) and self._world.draw() < 0.5

    async def is_reusable(self) -> bool:
        if self._shows():
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if self._is_cut:
                self._lose()
        return await super().is_reusable()

    # --- the server's side -------------------------------------------------------------------------------

    def leave(self, changed: Iterable[bytes], flushed: bool) -> None:
        """Send what a round brought: its answers, then its news."""
        left, self._round = self._round, []
        if flushed and self.scopes:
            left.append(PushNotification([b"invalidate", None]))
        for scope in self.scopes:
            if names := [name for name in dict.fromkeys(changed) if name.startswith(scope)]:
                left.append(PushNotification([b"invalidate", names]))
        if left and not self._is_cut:
            self._arriving += left
            self._go("arrive", self._arrive)

    def cut(self) -> None:
        """Have the server end the connection; what left before arrives, and a moment later that it has ended."""
        self._is_cut = True
        self.scopes.clear()
        self._requests.clear()
        self._go("arrive", self._arrive)

    async def _serve(self) -> None:
        while self._requests:
            await self._server.pause()
            if self._requests:
                command = self._requests.popleft()
                self._round.append(self._server.execute(self, command))

    async def _arrive(self) -> None:
        while not self.is_closing and (self._arriving or self._is_cut):
            await self._server.pause()
            if self._arriving:
                self.is_doubtful = False
                self._take(self._arriving.popleft())
            elif self._is_cut:
                self._lose()

    # --- its end -----------------------------------------------------------------------------------------

    def _lose(self) -> None:
        """Do what asyncio does when the server has ended it."""
        self._transport.abort()
        self.connection_lost(None)

    def _gone(self) -> None:
        if self in self._server.wires:
            self._server.wires.remove(self)
        self._requests.clear()
        self._arriving.clear()
        for task in self._tasks.values():
            if task is not asyncio.current_task():
                task.cancel()

    def _go(self, what: str, work: Callable[[], Any]) -> None:
        if what not in self._tasks:
            self._tasks[what] = asyncio.ensure_future(work())
            self._tasks[what].add_done_callback(lambda _: self._ended(what, work))

    def _ended(self, what: str, work: Callable[[], Any]) -> None:
        del self._tasks[what]
        if not self.is_closing and (self._requests if what == "serve" else self._arriving or self._is_cut):
            self._go(what, work)


class Pool:
    """The connections of one instance, as `NodePool` looks to those who use it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._world = server.world
        self._dedicated: list[Wire] = []

    async def pipeline(self, commands: Sequence[Any], deadline: float) -> list[Any]:
        fate = self._world.draw()
        if fate < self._server.faults / 2:
            raise NotSentError("refused")
        wire = Wire(self._server)
        try:
            answers = await wire.send(commands, deadline)
        except LostError as error:
            self.learn(error)
            raise
        finally:
            wire.close()
        if fate > 1 - self._server.faults / 2:
            raise LostError("cut")
        return answers

    async def dedicated(self, on_push: Callable[[list[Any]], None], deadline: float) -> Wire:
        await self._server.pause()
        if self._world.draw() < self._server.faults:
            raise NotSentError("refused")
        wire = Wire(self._server, on_push)
        self._dedicated.append(wire)
        return wire

    def release(self, wire: Wire) -> None:
        self._dedicated.remove(wire)
        wire.close()

    def learn(self, error: BaseException) -> None:
        if isinstance(error.__cause__, TimeoutError):
            for wire in self._dedicated:
                wire.is_doubtful = True


class Router(RedisRouter):
    """Leads to the simulated server, over a pool that can be exchanged as after a failover."""

    def __init__(self, server: Server, timeout: float) -> None:
        super().__init__(RedisBackend("redis://127.0.0.1:1/0", PREFIX, timeout=timeout)._settings)
        self._server = server
        self.pool = Pool(server)

    def exchange(self) -> None:
        self.pool = Pool(self._server)

    def _pool_at(self, url: str) -> Any:
        return self.pool
