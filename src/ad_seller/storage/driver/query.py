"""What a listing asks an engine for."""

from __future__ import annotations

from dataclasses import dataclass

from ..records.filters import Condition
from ..records.globs import Glob, successor


@dataclass(frozen=True, slots=True)
class KeyQuery:
    """What a listing asks for: the keys that match ``glob`` and come after ``after``, at most ``limit``.

    A driver may leave out records that do not fulfil ``where``, but none whose text is no JSON: those must be
    reported. The caller checks what it gets again.
    """

    glob: Glob
    after: str | None = None
    limit: int | None = None
    where: tuple[Condition, ...] = ()

    @property
    def start(self) -> str:
        """No key of the span is smaller; with ``after`` it is excluded itself."""
        return self.glob.prefix if self.after is None else max(self.glob.prefix, self.after)

    @property
    def stop(self) -> str | None:
        """Every key of the span is smaller; None if there is no end. Keys hold no NUL."""
        return f"{self.glob.prefix}\0" if self.glob.literal else successor(self.glob.prefix)

    @property
    def exact(self) -> bool:
        """Whether every live key between `start` and `stop` belongs to the span."""
        return self.glob.regex is None

    def has(self, key: str) -> bool:
        """Tell whether ``key`` belongs to the span."""
        return (self.after is None or key > self.after) and self.glob.matches(key)
