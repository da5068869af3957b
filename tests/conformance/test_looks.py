"""The kit looks when something can be seen."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from ad_seller.storage.testing.conformance import declared
from tests.conformance.tested_directory import TestedDirectory


class Noted(TestedDirectory):
    """Notes who has connected, and how many had when this process changed the index first."""

    at_first = 0

    async def connect(self) -> None:
        await super().connect()
        (self._directory.parent / f"{os.getpid()}.connected").touch()

    async def add_session_to_buyer_index(self, session_id: str, pricing_key: str) -> None:
        if session_id == "here.0" and not self.at_first:
            self.at_first = len(list(self._directory.parent.glob("*.connected")))
        await super().add_session_to_buyer_index(session_id, pricing_key)


async def test_lost_changes_are_looked_for_when_both_processes_work(tmp_path: Path) -> None:
    """This process had made all of its changes before a slow other one began, and saw nothing lost."""
    new_backend = partial(Noted, f"directory:///{tmp_path}/store")
    async with new_backend() as backend:
        await declared._is_shared(backend, new_backend)
    assert backend.at_first == 3  # this one, the one that wrote first of all, and the one that works beside it
