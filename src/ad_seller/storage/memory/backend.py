"""Entries in this process's memory: for tests, demonstrations and caches; gone with the process."""

from __future__ import annotations

from ..capabilities import Capabilities
from ..driver.engine import Engine
from ..records.expiry import SteadyClock
from ..runtime.template import DriverBackend
from .engine import MemoryEngine
from .entries import Entries


class MemoryBackend(DriverBackend):
    """A backend in memory, for any number of event loops and threads of this process.

    It keeps encoded text, so that values behave as on every other backend. What it holds survives
    `disconnect` followed by `connect` on the same instance; a copy starts empty.
    """

    def __init__(self, *, timeout: float = 5.0, **settings: object) -> None:
        """Start empty; the settings are those of `DriverBackend`."""
        super().__init__(timeout=timeout, **settings)  # type: ignore[arg-type]

    _open_state = ("_entries", "_steady")

    def _start_over(self) -> None:
        super()._start_over()
        self._entries = Entries()
        self._steady = SteadyClock(self._clock)

    def __repr__(self) -> str:
        """Return the class."""
        return "MemoryBackend()"

    @property
    def capabilities(self) -> Capabilities:
        """Atomic for all who use it: nobody outside this process can."""
        return Capabilities(atomic="store", expiry="store", atomic_batches=True)

    def _make_engine(self) -> Engine:
        return MemoryEngine(self._entries, self._steady)
