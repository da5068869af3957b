"""Whether one instance of a backend is open, and who has it open by way of something that stands on it."""

from __future__ import annotations

import weakref

from ..concurrency.gates import Gate
from ..concurrency.loops import ByLoop


class Opening:
    """What is known of one instance.

    Attributes:
        is_connected: whether it was connected and not disconnected since; noted for backends of seven methods.
        holders: what stands on it and has it open.
        is_theirs: whether the first of those opened it.
    """

    def __init__(self) -> None:
        """Be closed."""
        self.is_connected = False
        self.holders: weakref.WeakSet[object] = weakref.WeakSet()
        self.is_theirs = False
        self._gates: ByLoop[Gate] = ByLoop()

    def gate(self) -> Gate:
        """Return the lock of this event loop under which holders come and go."""
        return self._gates.get_or_make(Gate)
