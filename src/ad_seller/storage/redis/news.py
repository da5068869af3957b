"""What a server tells of changed names, and how much of that is worth its cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from .index import own_names
from .surveys import MOST_KEYS

_SOON: Final = 1_000  #: changed names that are looked at without waiting for a listing
_MOST: Final = 100_000  #: changed names that are remembered; with more, a rebuild is as good
_TOLD: Final = 5e-6  #: seconds that a server takes to tell one instance something (benchmarks/listeners.py)
_FEW: Final = 1_000  #: news without a listing after which an instance stops listening at the earliest
_MANY: Final = 20_000  #: the same at the latest, or twice its names
_FEWEST: Final = 100  #: the same where a listing's own script can look at all keys
_KEYS_FOR_NEWS: Final = 10  #: keys that a script looks at in the time that a server takes to tell one thing
_MOST_ALONE: Final = 64  #: listings that look themselves, before it is tried again whether to be told costs less


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
        self._heard: Counter[str] = Counter()  # news of each scope since it was listed
        self._seconds, self._names, self._keys = 0.0, 0, 0  # of the surveys of all scopes; keys of the server
        self._enough = _MANY
        self._is_small = False  # whether a listing's own script can look at all keys
        self._alone = 0  # listings that look themselves when to be told has cost more the next time
        self._left = 0  # the same from now on

    def __bool__(self) -> bool:
        """Tell whether there is a name to be looked at."""
        return bool(self._changed)

    def __len__(self) -> int:
        """Return how many names there are to be looked at."""
        return len(self._changed)

    def add(self, names: Collection[bytes], scope: str) -> None:
        """Remember names of one message, which was told because of ``scope``."""
        self._heard[scope] += 1 + len(names) // 100  # it is the message that costs, a name in it little
        self._changed.update(names)
        self._changed.discard(self._index)

    def take(self) -> list[bytes]:
        """Return the names that are to be looked at, and forget them."""
        names, self._changed = self._changed, set()
        return own_names(names, self._prefix)

    @contextmanager
    def kept(self, names: Collection[bytes]) -> Iterator[None]:
        """Remember names that were taken again, if the block that looks at them does not come to its end."""
        try:
            yield
        except BaseException:
            self._changed.update(names)
            raise

    def clear(self) -> None:
        """Forget the names."""
        self._changed.clear()

    def stopped(self) -> None:
        """Forget the names, and what they have cost: nothing is told any more."""
        self._changed.clear()
        self._heard.clear()

    def listed(self, scope: str, *, told: bool) -> None:
        """Begin anew to count what is told until the next listing, unless it is too much already.

        Args:
            scope: what had to be told for it. What is not listed any more is counted on.
            told: whether the server has told of all changes since the last one.
        """
        if told and self.cost_more:
            return  # it came while a listing was under way; the next news ends it
        del self._heard[scope]
        self._alone //= 2 if told else 1

    def cost_too_much(self) -> None:
        """Have the next listings look themselves, if that can be: the more, the more often it has come to this."""
        if self._is_small:
            self._left = self._alone = min(max(1, 2 * self._alone), _MOST_ALONE)

    def do_without(self) -> bool:
        """Tell whether a listing that begins now is to look at all keys itself."""
        self._left -= 1
        return self._left >= 0

    def surveyed(self, seconds: float, names: int, keys: int | None) -> None:
        """Learn what it costs to look at all keys instead: so long, or one script where they are few.

        Args:
            seconds: that the survey of a scope took.
            names: that it found.
            keys: of the server; None if this scope came to others.
        """
        if keys is not None:
            self._seconds, self._names, self._keys = 0.0, 0, keys
        self._seconds += seconds
        self._names += names
        self._is_small = self._keys <= MOST_KEYS
        if self._is_small:
            self._enough = max(_FEWEST, self._keys // _KEYS_FOR_NEWS)
        else:
            self._enough = min(max(_FEW, int(self._seconds / _TOLD)), max(_MANY, 2 * self._names))

    @property
    def cost_more(self) -> bool:
        """Whether to be told since the last listing has cost more than to look at all keys when somebody lists."""
        return max(self._heard.values(), default=0) > self._enough

    @property
    def are_many(self) -> bool:
        """Whether the names are to be looked at without waiting for a listing."""
        return len(self._changed) > _SOON

    @property
    def are_too_many(self) -> bool:
        """Whether the names are too many to be remembered."""
        return len(self._changed) > _MOST
