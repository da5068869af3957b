"""The connections to the Redis server of schedules: what is sent, and what arrives, takes time or is lost."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ad_seller.storage.driver.failures import LostError, NotSentError
from ad_seller.storage.redis.router import RedisRouter
from ad_seller.storage.redis_backend import RedisBackend
from tests.schedules.redis_server import PREFIX, Server


class Exchange(NamedTuple):
    """Commands that were sent, and their answers."""

    wanted: int
    answers: list[Any]
    future: asyncio.Future[list[Any]]


class Wire:
    """A connection, as `RedisConnection` looks to those who use it.

    Attributes:
        scopes: the beginnings of the names of which its other side is told.
    """

    def __init__(self, server: Server, on_push: Callable[[list[Any]], None] | None = None) -> None:
        self._server = server
        self._world = server.world
        self._on_push = on_push
        self.scopes: list[bytes] = []
        self.is_doubtful = False
        self.is_closing = False
        self._is_cut = False
        self._sent: deque[Exchange] = deque()
        self._requests: deque[Sequence[Any]] = deque()
        self._round: list[Any] = []  # answers that leave when the server's round ends
        self._arriving: deque[Any] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        server.wires.append(self)

    def send(self, commands: Sequence[Any], deadline: float) -> asyncio.Future[list[Any]]:
        if self.is_closing:
            raise NotSentError("the connection was closed")
        future: asyncio.Future[list[Any]] = self._world.loop.create_future()
        self._sent.append(Exchange(len(commands), [], future))
        self._requests += commands
        timer = self._world.loop.call_at(deadline, self._late)
        future.add_done_callback(lambda _: timer.cancel())
        self._go("serve", self._serve)
        return future

    @property
    def is_quiet(self) -> bool:
        return not (self.is_doubtful or self.is_closing or self._shows())

    def _shows(self) -> bool:
        """Tell whether the end or news of a connection have arrived; they may still be on their way."""
        return bool(self._is_cut or self._arriving) and self._world.draw() < 0.5

    async def is_reusable(self) -> bool:
        if self._shows():
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if self._is_cut:
                self.fail(OSError("the server closed the connection"))
        if self.is_doubtful and not self.is_closing:
            try:
                await self.send([("PING",)], self._world.loop.time() + 0.5)
            except LostError:
                return False
        return not self.is_closing

    def close(self) -> None:
        self.fail(OSError("the connection was closed"))

    # --- the server's side -------------------------------------------------------------------------------

    def leave(self, changed: Iterable[bytes], flushed: bool) -> None:
        """Send what a round brought: its answers, then its news."""
        left, self._round = self._round, []
        if flushed and self.scopes:
            left.append([b"invalidate", None])
        for scope in self.scopes:
            if names := [name for name in dict.fromkeys(changed) if name.startswith(scope)]:
                left.append([b"invalidate", names])
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
                answer = self._server.execute(self, command)
                self._round.append((answer,))

    async def _arrive(self) -> None:
        while not self.is_closing and (self._arriving or self._is_cut):
            await self._server.pause()
            if self._arriving:
                self.is_doubtful = False
                self._take(self._arriving.popleft())
            elif self._is_cut:
                self.fail(OSError("the server closed the connection"))

    def _take(self, arrived: Any) -> None:
        if isinstance(arrived, list):
            assert self._on_push is not None
            self._on_push(arrived)
            return
        exchange = self._sent[0]
        exchange.answers.append(arrived[0])
        if len(exchange.answers) == exchange.wanted:
            self._sent.popleft()
            if not exchange.future.done():
                exchange.future.set_result(exchange.answers)

    # --- its end -----------------------------------------------------------------------------------------

    def _late(self) -> None:
        self.fail(TimeoutError("no answer in time"))

    def fail(self, error: Exception) -> None:
        """End it; who waits for an answer does not know what was executed."""
        self.is_closing = True
        if self in self._server.wires:
            self._server.wires.remove(self)
        self._requests.clear()
        self._arriving.clear()
        for task in self._tasks.values():
            if task is not asyncio.current_task():
                task.cancel()
        sent, self._sent = self._sent, deque()
        for exchange in sent:
            if not exchange.future.done():
                lost = LostError(str(error))
                lost.__cause__ = error
                exchange.future.set_exception(lost)

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
