"""What a store says when it is asked how it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Health:
    """What a store said when it was asked.

    Attributes:
        seconds: how long a lone read took, or until it failed.
        doubts: why it may lose what it acknowledged; each a sentence with what to do.
        error: why it did not answer, or None.
        backend: the class of the backend that was asked.
        sides: the same of each side of a hybrid; its own is the slower one, with all doubts and the first error.
    """

    seconds: float
    doubts: tuple[str, ...]
    error: Exception | None
    backend: str = ""
    sides: Mapping[str, Health] = field(default_factory=dict)

    @property
    def is_reachable(self) -> bool:
        """Whether it answered."""
        return self.error is None

    @property
    def is_healthy(self) -> bool:
        """The same as `is_reachable`."""
        return self.is_reachable
