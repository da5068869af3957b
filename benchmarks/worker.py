"""A contender in a process of its own, commanded over a pipe."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import psutil

from . import bursts, contenders, data
from .contender import Contender, Row
from .workloads import EMPTY_STAGE, ORDERS_STAGE, Workload

_SECONDS_TO_STOP = 10.0


class WorkerError(RuntimeError):
    """The contender could not do what it was told; the text says why."""


class WorkerGoneError(WorkerError):
    """Nor can it do anything else: its process is gone."""


class Worker:
    """The harness's end: one command at a time, each with its answer."""

    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, name), daemon=True)
        self._process.start()
        theirs.close()

    def send(self, command: str, *arguments: Any) -> None:
        try:
            self._pipe.send((command, arguments))
        except OSError as error:
            raise WorkerGoneError("its process has ended") from error

    def answer(self, timeout: float) -> Any:
        """Wait for the answer to what was sent.

        Raises:
            WorkerError: the command failed.
            WorkerGoneError: the process died, or the time is up, and it was ended.
        """
        try:
            if not self._pipe.poll(timeout):
                self.kill()
                raise WorkerGoneError(f"no answer within {timeout:g} s")
            failed, answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerGoneError("its process has ended") from error
        if failed:
            raise WorkerError(answer)
        return answer

    def ask(self, command: str, *arguments: Any, timeout: float = 60.0) -> Any:
        self.send(command, *arguments)
        return self.answer(timeout)

    def stop(self) -> None:
        if self._process.is_alive():
            try:
                self.ask("stop", timeout=_SECONDS_TO_STOP)
            except WorkerError:
                self.kill()
        self._process.join(_SECONDS_TO_STOP)
        self.kill()

    def kill(self) -> None:
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def serve(pipe: Connection, name: str) -> None:
    """The contender's end: obey until told to stop."""
    asyncio.run(_Server(pipe, name).run())


class _Server:
    def __init__(self, pipe: Connection, name: str) -> None:
        self._pipe = pipe
        self._entry = contenders.BY_NAME[name]
        self._contender: Contender | None = None
        self._entries = 0

    async def run(self) -> None:
        while True:
            try:
                command, arguments = await asyncio.to_thread(self._pipe.recv)
            except EOFError:
                return
            try:
                answer = False, await getattr(self, f"_{command}")(*arguments)
            except Exception as error:
                answer = True, f"{type(error).__name__}: {error}"
            self._pipe.send(answer)
            if command == "stop":
                return

    @property
    def _open_one(self) -> Contender:
        assert self._contender is not None, "open comes first"
        return self._contender

    async def _open(self, place: str) -> None:
        self._contender = self._entry.make(place)
        await self._contender.open()

    async def _fill(self, stage: int) -> None:
        """Let the store grow to the stage."""
        if stage == ORDERS_STAGE:
            await self._open_one.fill(data.orders())
            await self._open_one.index()
        elif stage != EMPTY_STAGE:
            rows: Iterator[Row] = data.growth(self._entries, stage)
            await self._open_one.fill(rows)
        self._entries = stage

    async def _resume(self, stage: int) -> None:
        """Take over a store that another process has filled."""
        self._entries = stage

    async def _burst(self, workload: Workload, seconds: float, ticker: bool) -> Any:
        return await bursts.run(self._open_one, workload, self._entries, seconds, ticker)

    async def _memory(self) -> dict[str, float]:
        """MiB that belong to this process alone, and that no file backs."""
        process = psutil.Process()
        full = process.memory_full_info()
        return {"uss": full.uss / 2**20, "anonymous": _anonymous(full.rss) / 2**20}

    async def _close(self) -> None:
        contender, self._contender, self._entries = self._contender, None, 0
        if contender is not None:
            await contender.close()

    async def _stop(self) -> None:
        await self._close()


def _anonymous(rss: int) -> int:
    try:
        with open("/proc/self/status") as lines:  # noqa: PTH123 - no Path for a kernel file
            found = [line.split()[1] for line in lines if line.startswith("RssAnon:")]
    except OSError:
        found = []
    return int(found[0]) * 1024 if found else rss
