"""When a client counts as one that hangs, and what is told of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend

from .arenas import Arena
from .client import MESSAGES, Client
from .clients import Clients
from .model import Action
from .recorder import Recorder, has_begun, prepare


class NeverAnswers(MemoryBackend):
    """A store whose reads wait for what does not come."""

    async def get(self, key: str) -> Any:
        await asyncio.Event().wait()


class Blocks(MemoryBackend):
    """A store whose reads do not even return to the event loop."""

    async def get(self, key: str) -> Any:
        time.sleep(600)


@dataclass(frozen=True)
class Steady(Client):
    """One whose work takes long in all, although each step of it is short."""

    async def work(self) -> None:
        with Recorder(self.path) as recorder:
            for _ in range(12):
                recorder.end(recorder.begin(Action("get", ("k",))), "ok")
                await asyncio.sleep(0.25)


def started(folder: Path, kind: type[Client], store: type[StorageBackend]) -> Clients:
    keys = Arena(store).keys("n")

    def new_client(number: int) -> Client:
        path = prepare(folder / f"c{number}")
        prepare(path.with_suffix(MESSAGES))
        return kind(partial(store), path, keys, "seed", folder / "stop")

    clients = Clients(keys, new_client)
    clients.start()
    while not has_begun(folder / "c0"):
        time.sleep(0.01)
    return clients


@pytest.mark.parametrize(("store", "told"), [(NeverAnswers, "wait_for=<Future pending"), (Blocks, "in get")])
def test_one_that_hangs_tells_where(store: type[StorageBackend], told: str, tmp_path: Path) -> None:
    clients = started(tmp_path, Client, store)
    (tmp_path / "stop").touch()
    [wrong] = clients.join(1.0)
    assert wrong.startswith("client c0 hangs")
    assert told in wrong
    assert "test_clients.py" in wrong
    assert clients.living == []


def test_one_that_goes_on_does_not_hang(tmp_path: Path) -> None:
    assert started(tmp_path, Steady, MemoryBackend).join(1.5) == []
