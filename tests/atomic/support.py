"""What the tests of the atomic tools share: stores by address, other processes, cancelling at a chosen point."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sqlite3
import subprocess
import sys
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from ad_seller.storage import StorageBackend, compile_glob
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis.commands import RoutedCommand
from ad_seller.storage.redis.engine import RedisEngine
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests import warm

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


class DictBackend(StorageBackend):
    """What somebody else would write: seven methods and nothing else, no ``super().__init__()``, awaits in each."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Any, float | None]] = {}

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    def _live(self, key: str) -> tuple[Any, float | None] | None:
        entry = self.entries.get(key)
        return entry if entry and (entry[1] is None or time.monotonic() < entry[1]) else None

    async def get(self, key: str) -> Any | None:
        await asyncio.sleep(0)
        entry = self._live(key)
        return None if entry is None else json.loads(json.dumps(entry[0]))

    async def set(self, key: str, value: Any, ttl: Any = None) -> None:
        await asyncio.sleep(0)
        self.entries[key] = (json.loads(json.dumps(value)), None if ttl is None else time.monotonic() + ttl)

    async def delete(self, key: str) -> bool:
        await asyncio.sleep(0)
        existed = self._live(key) is not None
        self.entries.pop(key, None)
        return existed

    async def exists(self, key: str) -> bool:
        await asyncio.sleep(0)
        return self._live(key) is not None

    async def keys(self, pattern: str = "*") -> list[str]:
        glob = compile_glob(pattern)
        return sorted(key for key in self.entries if self._live(key) and glob.matches(key))


class Address(NamedTuple):
    """Where a store is: a kind of backend, the URL that it takes, and a prefix of the test's own on Redis."""

    kind: str
    url: str = ""
    prefix: str = ""

    def open(self, **settings: Any) -> StorageBackend:
        """Return a new backend, not yet connected."""
        match self.kind:
            case "sqlite":
                return SQLiteBackend(self.url, **settings)
            case "redis":
                return RedisBackend(self.url, self.prefix, **settings)
            case "postgres":
                return PostgresBackend(self.url, **settings)
            case "hybrid":
                redis_url, prefix = self.prefix.split(" ")
                return HybridBackend(
                    PostgresBackend(self.url, **settings), RedisBackend(redis_url, prefix, **settings)
                )
            case "memory":
                return MemoryBackend(**settings)
        return DictBackend()

    def write_text(self, key: str, text: str) -> None:
        """Write an entry past every backend, as an older seller agent or another process does."""
        if self.kind == "sqlite":
            with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as db, db:
                columns = "key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL"
                db.execute(f"CREATE TABLE IF NOT EXISTS kv_store ({columns})")
                db.execute("INSERT OR REPLACE INTO kv_store (key, value) VALUES (?, ?)", (key, text))
        else:
            with ThreadPoolExecutor(1) as other:  # an event loop may be running in this thread
                other.submit(asyncio.run, self._write_to_redis(f"{self.prefix}{key}", text)).result()

    async def _write_to_redis(self, name: str, text: str) -> None:
        async with RedisBackend(self.url, self.prefix) as backend:
            engine = cast(RedisEngine, (await backend._here()).engine)
            await engine.router.send([RoutedCommand(name, ("SET", name, text))], writes=True)

    def run(self, use: Callable[[StorageBackend], Coroutine[Any, Any, T]]) -> T:
        """Return what ``use`` makes of a connected backend, in an event loop of its own."""

        async def connected() -> T:
            async with self.open() as storage:
                return await use(storage)

        return asyncio.run(connected())


class Worker:
    """Another process that runs one function of `tests.atomic.jobs`, from the moment that it is told to."""

    def __init__(self, address: Address, job: str, *arguments: Any) -> None:
        order = json.dumps([address, job, arguments])
        self.process = warm.Popen(
            [sys.executable, "-m", "tests.atomic.jobs", order],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> Any:
        """Return the next thing that it says; None at its end."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self) -> Any:
        """Return what the job returned."""
        last = None
        while (line := self.line()) is not None:
            last = line
        assert self.process.wait(30) == 0
        return last

    def end(self) -> None:
        """End it as a crash does, if it has not ended, and let go of its pipes."""
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()


@contextlib.contextmanager
def workers(count: int, address: Address, job: str, *arguments: Any) -> Iterator[list[Worker]]:
    """Start processes that wait, connected, for `Worker.go`; each is told its number after the arguments."""
    started = [Worker(address, job, *arguments, number) for number in range(count)]
    try:
        for worker in started:
            assert worker.line() == "ready"
        yield started
    finally:
        for worker in started:
            worker.end()


def everywhere(count: int, address: Address, job: str, *arguments: Any) -> list[Any]:
    """Run a job in several processes at once and return their results."""
    with workers(count, address, job, *arguments) as started:
        for worker in started:
            worker.go()
        return [worker.result() for worker in started]


#: Told at each await of a watched coroutine: the number of the await, and the future that it waits for.
OnAwait = Callable[[int, "asyncio.Future[Any] | None"], None]


@types.coroutine
def watched(coroutine: Coroutine[Any, Any, T], on_await: OnAwait) -> Generator[Any, Any, T]:
    """Await ``coroutine`` and tell ``on_await`` each time that it gives control away."""
    step = 0
    resume: Callable[[], Any] = functools.partial(coroutine.send, None)
    with contextlib.closing(coroutine):
        while True:
            try:
                future = resume()
            except StopIteration as stop:
                result: T = stop.value
                return result
            on_await(step, future)
            step += 1
            try:
                yield future
                resume = functools.partial(coroutine.send, None)
            except BaseException as error:
                resume = functools.partial(coroutine.throw, error)


async def renewed(storage: StorageBackend, key: str) -> float:
    """Wait until the time to live of a lease or a claim has grown again; return what is left of it."""
    before = await storage.ttl(key)
    while True:
        now = await storage.ttl(key)
        if now is not None and before is not None and now > before + 0.1:
            return now
        before = now
        await asyncio.sleep(0.01)


def cancel_before(task: asyncio.Task[Any], future: asyncio.Future[Any] | None) -> None:
    """Cancel before what is awaited has begun."""
    task.cancel()


def cancel_during(task: asyncio.Task[Any], future: asyncio.Future[Any] | None) -> None:
    """Cancel when the request has been sent and its answer has not come."""
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: loop.call_soon(task.cancel))


def cancel_at_answer(task: asyncio.Task[Any], future: asyncio.Future[Any] | None) -> None:
    """Cancel when the answer is there and the task has not seen it."""
    if future is None:
        task.cancel()
    else:
        future.add_done_callback(lambda _: task.cancel())


Moment = Callable[[asyncio.Task[Any], "asyncio.Future[Any] | None"], None]
MOMENTS: tuple[Moment, ...] = (cancel_before, cancel_during, cancel_at_answer)


async def cancelled_at(operation: Coroutine[Any, Any, Any], step: int, moment: Moment) -> bool:
    """Run ``operation`` in a task that is cancelled at its await number ``step``; False if it has fewer."""
    reached = False

    def on_await(number: int, future: asyncio.Future[Any] | None) -> None:
        nonlocal reached
        if number == step:
            reached = True
            moment(task, future)

    async def run() -> None:
        await watched(operation, on_await)

    task = asyncio.create_task(run())
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return reached


async def settled(before: set[asyncio.Task[Any]]) -> None:
    """Wait until no task is left but those of ``before``; fail if that takes longer than any bulk call."""
    async with asyncio.timeout(20):
        while left := asyncio.all_tasks() - before:
            await asyncio.wait(left)


async def at_once(*calls: Awaitable[T]) -> tuple[list[T], list[Exception]]:
    """Await all of the calls together; return the results, and the exceptions."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    results = [answer for answer in answers if not isinstance(answer, BaseException)]
    return results, [answer for answer in answers if isinstance(answer, Exception)]
