"""A memory backend whose engine or entries have a defect."""

from __future__ import annotations

from typing import ClassVar

from ad_seller.storage.driver.engine import WOULD_BLOCK, WouldBlock
from ad_seller.storage.memory.engine import MemoryEngine
from ad_seller.storage.memory.entries import Entries
from ad_seller.storage.memory_backend import MemoryBackend


class InBulk(MemoryEngine):
    """Has everything pass `read` and `apply`, which those with a defect have their own of."""

    begin_apply = None  # type: ignore[assignment]  # as an engine has it that needs a task

    def read_nowait(self, key: str) -> WouldBlock:
        return WOULD_BLOCK


class MemoryWith(MemoryBackend):
    engine: ClassVar[type[MemoryEngine]] = MemoryEngine
    entries: ClassVar[type[Entries]] = Entries

    def _start_over(self) -> None:
        super()._start_over()
        self._entries = self.entries()

    def _make_engine(self) -> MemoryEngine:
        return self.engine(self._entries, self._clock)
