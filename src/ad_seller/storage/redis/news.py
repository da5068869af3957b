"""What a server tells of changed names, and how much of that is worth its cost."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .index import own_names

_SOON: Final = 1_000  #: changed names that are looked at without waiting for a listing
_MOST: Final = 100_000  #: changed names that are remembered; with more, a rebuild is as good
_TOLD: Final = 5e-6  #: seconds that a server takes to tell one instance something (benchmarks/listeners.py)
_FEW: Final = 1_000  #: news without a listing after which an instance stops listening at the earliest
_MANY: Final = 20_000  #: the same at the latest, or twice its names


class News:
    """The names that were changed since they were last looked at.

    Args:
        prefix: what stands before each key.
        index: the name of the index, of which no news matters.
    """

    def __init__(self, prefix: str, index: str) -> None:
        """Nothing was heard yet."""
        self._prefix = prefix
        self._index = index.encode()
        self._changed: set[bytes] = set()
        self._heard = 0
        self._enough = _MANY

    def __bool__(self) -> bool:
        """Tell whether there is a name to be looked at."""
        return bool(self._changed)

    def __len__(self) -> int:
        """Return how many names there are to be looked at."""
        return len(self._changed)

    def add(self, names: Collection[bytes]) -> None:
        """Remember names of one message."""
        self._heard += 1 + len(names) // 10  # it is the message that costs, a name in it little
        self._changed.update(names)
        self._changed.discard(self._index)

    def take(self) -> list[bytes]:
        """Return the names that are to be looked at, and forget them."""
        names, self._changed = self._changed, set()
        return own_names(names, self._prefix)

    def clear(self) -> None:
        """Forget the names."""
        self._changed.clear()

    def listed(self) -> None:
        """Begin anew to count what is told until the next listing."""
        self._heard = 0

    def rebuilt(self, seconds: float, names: int) -> None:
        """Learn what it costs to look at all keys instead."""
        self._enough = min(max(_FEW, int(seconds / _TOLD)), max(_MANY, 2 * names))

    @property
    def cost_more(self) -> bool:
        """Whether to be told since the last listing has cost more than to look at all keys when somebody lists."""
        return self._heard > self._enough

    @property
    def are_many(self) -> bool:
        """Whether the names are to be looked at without waiting for a listing."""
        return len(self._changed) > _SOON

    @property
    def are_too_many(self) -> bool:
        """Whether the names are too many to be remembered."""
        return len(self._changed) > _MOST
