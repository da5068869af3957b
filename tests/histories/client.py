"""One process of a history: tasks that use a store until told to stop, and write down what they were answered."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ad_seller.storage import StorageBackend, StorageError, UnknownOutcomeError

from .expiries import watch
from .messages import Courier
from .model import Action
from .operations import Chooser, Keys, NewKeys, perform
from .outside import Outside
from .recorder import Recorder
from .stacks import tell_when_asked

_CONNECT_SECONDS = 60.0
WRONG = ".wrong"  #: how the note of a client is called that saw what should never be
MESSAGES = ".messages"  #: how the record of a client's part in the outbox is called
STACKS = ".stacks"  #: how the file of a client is called that says where it hangs, when it is asked
OUTSIDE = "outside"  #: how the folder is called in which the other system keeps what it made
_LOOP_SECONDS = 0.15  #: how long an event loop lives that is not the first


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
        loops: how many event loops use the one store at the same time; all but the first end and begin anew.
        disturb: what it does to itself when it gets SIGURG; it must be possible to pickle it.
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
    loops: int = 1
    disturb: Callable[[], None] | None = None

    def run(self) -> None:
        """Do it; what a process starts with."""
        tell_when_asked(self.path.with_suffix(STACKS))
        logging.disable(logging.WARNING)  # a server that is gone is no news here
        if self.disturb is not None:
            disturb = self.disturb
            signal.signal(signal.SIGURG, lambda *_: disturb())  # which is ignored by who does not listen yet
        asyncio.run(self.work())

    async def work(self) -> None:
        """Use the store until it is time to stop."""
        with Recorder(self.path) as recorder, Recorder(self.path.with_suffix(MESSAGES)) as messages:
            store = self.open_store()
            await connected(store)
            courier = Courier(store, self.keys.outbox, messages, self.path.stem, self.seed)
            try:
                async with asyncio.TaskGroup() as group:
                    for number in range(0, self.tasks, self.loops):
                        group.create_task(self._task(store, recorder, str(number)))
                    if self.chooser is Chooser:
                        group.create_task(self._watch(store))
                        group.create_task(courier.work(self.stop.exists))
                    for loop in range(1, self.loops):
                        group.create_task(asyncio.to_thread(self._in_loops, store, recorder, loop))
                await read_all(store, recorder, self.keys, self.keys.all)
                await courier.deliver_all()
            finally:
                await store.disconnect()

    async def _watch(self, store: StorageBackend) -> None:
        """Look at what expires, and leave a note of what is wrong."""
        prefixes = self.keys.registers
        wrong = await watch(store, prefixes, self.path.stem, self.seed, self.stop.exists)
        if wrong:
            self.path.with_suffix(WRONG).write_text("\n".join(wrong[:5]))

    def _in_loops(self, store: StorageBackend, recorder: Recorder, loop: int) -> None:
        """Do the work of a thread whose event loops end, without a word to the store, and begin anew."""
        for run in itertools.count():
            if self.stop.exists():
                return
            asyncio.run(self._for_a_while(store, recorder, loop, run))

    async def _for_a_while(self, store: StorageBackend, recorder: Recorder, loop: int, run: int) -> None:
        names = [f"{number}.{run}" for number in range(loop, self.tasks, self.loops)]
        await asyncio.gather(*(self._task(store, recorder, name, _LOOP_SECONDS) for name in names))

    async def _task(
        self, store: StorageBackend, recorder: Recorder, number: str, seconds: float = math.inf
    ) -> None:
        seed = f"{self.seed}/{number}"
        chooser = self.chooser(self.keys, seed, f"{self.path.stem}.{number}")
        chance = random.Random(f"{seed} pauses")
        until = time.monotonic() + seconds
        while not self.stop.exists() and time.monotonic() < until:
            action = chooser.choose()
            delay = chance.random() * 0.004 if chance.random() < self.cancelled else None
            outcome, told = await noted(store, recorder, self.keys, action, delay)
            if outcome == "ok":
                chooser.saw(action, told)
            await asyncio.sleep(chance.random() * self.pause)


async def noted(
    store: StorageBackend, recorder: Recorder, keys: Keys, action: Action, cancel_after: float | None = None
) -> tuple[str, object]:
    """Do an action, write down how it ended, and return that.

    Args:
        store: where.
        recorder: what writes it down.
        keys: those of the history.
        action: what is done.
        cancel_after: seconds after which it is cancelled; None for never.
    """
    number = recorder.begin(action)
    outside = Outside(recorder.folder / OUTSIDE, keys.outbox)
    task = asyncio.ensure_future(perform(store, action, outside))
    if cancel_after is not None:
        asyncio.get_running_loop().call_later(cancel_after, task.cancel)
    outcome, told = await _outcome(task)
    recorder.end(number, outcome, told)
    return outcome, told


async def read_all(store: StorageBackend, recorder: Recorder, keys: Keys, those: Sequence[str]) -> None:
    """Read keys, as part of the history, and ask what was made outside."""
    for start in range(0, len(those), 100):
        actions = (keys.last(key) for key in those[start : start + 100])
        await asyncio.gather(*(noted(store, recorder, keys, action) for action in actions))


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
