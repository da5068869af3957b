"""The client processes of a history: started, killed, frozen, limited, and waited for."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from .client import MESSAGES, STACKS, Client
from .operations import Keys
from .recorder import written
from .stacks import where

#: A server process that has imported everything forks the clients, so that each costs milliseconds.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "tests.histories.arenas",
        "ad_seller.storage.atomic.effects",
        "ad_seller.storage.atomic.idempotency",
        "ad_seller.storage.seller.outbox",
        "ad_seller.storage.seller.outbox_work",
    ]
)


class Clients:
    """Some processes that use a store.

    Args:
        keys: what they use.
        new_client: what the client of this number does.
    """

    def __init__(self, keys: Keys, new_client: Callable[[int], Client]) -> None:
        self.keys = keys
        self._new_client = new_client
        self._processes: list[ForkServerProcess] = []
        self._paths: list[Path] = []
        self._killed: set[ForkServerProcess] = set()

    @property
    def living(self) -> list[ForkServerProcess]:
        """Those that have not ended."""
        return [process for process in self._processes if process.is_alive()]

    def start(self) -> None:
        """Start one more."""
        client = self._new_client(len(self._processes))
        process = CONTEXT.Process(target=client.run, name=client.path.stem)
        process.start()
        self._processes.append(process)
        self._paths.append(client.path)

    def kill(self, process: ForkServerProcess) -> None:
        """End one as a crash does."""
        process.kill()
        process.join()
        self._killed.add(process)

    @contextmanager
    def frozen(self, process: ForkServerProcess) -> Iterator[None]:
        """Let one hang for the length of a block."""
        _signal(process, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(process, signal.SIGCONT)

    def disturb(self, process: ForkServerProcess) -> None:
        """Have one do to itself what its `Client.disturb` says."""
        _signal(process, signal.SIGURG)

    def limit(self, kind: int, amount: int) -> None:
        """Set a resource limit of all of them; it can be raised again."""
        for process in self.living:
            with suppress(ProcessLookupError):
                resource.prlimit(_pid(process), kind, (amount, resource.RLIM_INFINITY))

    def join(self, patience: float) -> list[str]:
        """Wait until all have ended, and return what is wrong with those that did not end well.

        Args:
            patience: seconds for which a client may write down nothing; several calls in a row may take longer.
        """
        wrong = []
        for process, path in zip(self._processes, self._paths, strict=True):
            before = -1
            while process.is_alive() and before < (now := written(path) + written(path.with_suffix(MESSAGES))):
                before = now
                process.join(patience)
            if process.is_alive():
                wrong.append(f"client {process.name} hangs\n{where(_pid(process), path.with_suffix(STACKS))}")
                process.kill()
                process.join()
            elif process.exitcode and process not in self._killed:
                wrong.append(f"client {process.name} ended with {process.exitcode}")
        return wrong


def _signal(process: ForkServerProcess, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(_pid(process), number)


def _pid(process: ForkServerProcess) -> int:
    if process.pid is None:
        raise ProcessLookupError("the process was not started")
    return process.pid
