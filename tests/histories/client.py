"""One process of a history: tasks that use a store until told to stop, and write down what they were answered."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ad_seller.storage import StorageBackend, StorageError, UnknownOutcomeError

from .model import Action
from .operations import Chooser, Keys, NewKeys, perform
from .recorder import Recorder

_CONNECT_SECONDS = 20.0


@dataclass(frozen=True)
class Client:
    """What a process has to do.

    Attributes:
        open_store: makes the backend; it must be possible to pickle it.
        path: where it writes down what happens.
        keys: what it uses.
        seed: where its choices come from.
        stop: a file; it ends when this is there.
        tasks: how many use the store at the same time.
        cancelled: which part of its operations is cancelled at a random moment.
        pause: seconds between two operations of a task at most, so that a history stays small enough to be checked.
        chooser: what its choices are.
    """

    open_store: Callable[[], StorageBackend]
    path: Path
    keys: Keys
    seed: str
    stop: Path
    tasks: int = 4
    cancelled: float = 0.0
    pause: float = 0.008
    chooser: type[Chooser] | type[NewKeys] = Chooser

    def run(self) -> None:
        """Do it; what a process starts with."""
        logging.disable(logging.WARNING)  # a server that is gone is no news here
        asyncio.run(self.work())

    async def work(self) -> None:
        """Use the store until it is time to stop."""
        with Recorder(self.path) as recorder:
            store = self.open_store()
            await connected(store)
            try:
                async with asyncio.TaskGroup() as group:
                    for number in range(self.tasks):
                        group.create_task(self._task(store, recorder, number))
                await read_all(store, recorder, self.keys.all)
            finally:
                await store.disconnect()

    async def _task(self, store: StorageBackend, recorder: Recorder, number: int) -> None:
        seed = f"{self.seed}/{number}"
        chooser = self.chooser(self.keys, seed, f"{self.path.stem}.{number}")
        chance = random.Random(f"{seed} pauses")
        while not self.stop.exists():
            action = chooser.choose()
            delay = chance.random() * 0.004 if chance.random() < self.cancelled else None
            outcome, told = await noted(store, recorder, action, delay)
            if outcome == "ok":
                chooser.saw(action, told)
            await asyncio.sleep(chance.random() * self.pause)


async def noted(
    store: StorageBackend, recorder: Recorder, action: Action, cancel_after: float | None = None
) -> tuple[str, object]:
    """Do an action, write down how it ended, and return that.

    Args:
        store: where.
        recorder: what writes it down.
        action: what is done.
        cancel_after: seconds after which it is cancelled; None for never.
    """
    number = recorder.begin(action)
    task = asyncio.ensure_future(perform(store, action))
    if cancel_after is not None:
        asyncio.get_running_loop().call_later(cancel_after, task.cancel)
    outcome, told = await _outcome(task)
    recorder.end(number, outcome, told)
    return outcome, told


async def read_all(store: StorageBackend, recorder: Recorder, keys: Sequence[str]) -> None:
    """Read every key, as part of the history."""
    for start in range(0, len(keys), 100):
        await asyncio.gather(*(noted(store, recorder, Action("get", (key,))) for key in keys[start : start + 100]))


async def _outcome(task: asyncio.Future[object]) -> tuple[str, object]:
    try:
        return "ok", await task
    except UnknownOutcomeError as error:
        return "unknown", str(error)
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
        return "unknown", "cancelled"
    except StorageError as error:
        return "failed", f"{type(error).__name__}: {error}"
    except Exception as error:
        return "leaked", repr(error)


async def connected(store: StorageBackend) -> None:
    """Connect, if need be after the server has come back."""
    until = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            return await store.connect()
        except StorageError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)
