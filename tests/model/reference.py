"""What a store is, as a dict: the model that every backend is compared with."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from ad_seller.storage import KEEP
from ad_seller.storage.testing.conformance import globs

NOTHING: Any = object()  #: there is no entry


class Entry(NamedTuple):
    """A value and when it ends, in seconds of the model's clock; None for never."""

    value: Any
    deadline: float | None


def alike(left: Any, right: Any) -> bool:
    """Tell whether two values are the same with their types, whatever the order of names."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


class Reference:
    """The contract on top of a dict.

    Args:
        clock: seconds; the backend's own clock, or nearly so.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._entries: dict[str, Entry] = {}

    def entry(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        ended = entry is None or (entry.deadline is not None and self.clock() >= entry.deadline)
        return None if ended else entry

    def copy(self) -> Reference:
        twin = Reference(self.clock)
        twin._entries = dict(self._entries)
        return twin

    # --- reads -------------------------------------------------------------------------------------------

    def value(self, key: str) -> Any:
        """Return the value, or `NOTHING`."""
        entry = self.entry(key)
        return NOTHING if entry is None else copy.deepcopy(entry.value)

    def get(self, key: str) -> Any:
        value = self.value(key)
        return None if value is NOTHING else value

    def exists(self, key: str) -> bool:
        return self.entry(key) is not None

    def left(self, key: str) -> float | None:
        """Return the seconds that an entry has left; None for ever."""
        entry = self.entry(key)
        assert entry is not None
        return None if entry.deadline is None else entry.deadline - self.clock()

    def items(self, pattern: str = "*") -> list[tuple[str, Any]]:
        """Return the entries whose keys match, by code point."""
        names = sorted(key for key in self._entries if self.exists(key) and globs.matches(pattern, key))
        return [(key, self.get(key)) for key in names]

    def keys(self, pattern: str = "*") -> list[str]:
        return [key for key, _ in self.items(pattern)]

    def records(self, prefix: str, wanted: dict[tuple[str, ...], Any]) -> list[Any]:
        """Return the values under ``prefix`` that hold what is wanted at each place."""
        found = [value for key, value in self.items() if key.startswith(prefix)]
        return [value for value in found if all(_holds(value, path, what) for path, what in wanted.items())]

    # --- writes ------------------------------------------------------------------------------------------

    def set(self, key: str, value: Any, ttl: Any = None) -> None:
        before = self.entry(key)
        if ttl is KEEP:
            deadline = None if before is None else before.deadline
        else:
            deadline = None if ttl is None else self.clock() + ttl
        self._entries[key] = Entry(copy.deepcopy(value), deadline)

    def delete(self, key: str) -> bool:
        existed = self.exists(key)
        self._entries.pop(key, None)
        return existed

    def touch(self, key: str, ttl: float | None) -> bool:
        if not self.exists(key):
            return False
        self.set(key, self.get(key), ttl)
        return True

    def create(self, key: str, value: Any, ttl: Any = None) -> bool:
        if self.exists(key):
            return False
        self.set(key, value, ttl)
        return True

    def compare_and_set(self, key: str, expected: Any, value: Any, ttl: Any) -> bool:
        found = self.value(key)
        if found is NOTHING or not alike(found, expected):
            return False
        self.set(key, value, ttl)
        return True

    def get_and_delete(self, key: str) -> Any:
        value = self.get(key)
        self.delete(key)
        return value

    def increment(self, key: str, by: int, ttl: Any) -> int | None:
        """Return the sum, or None where there is something else than a counter."""
        found = self.value(key)
        if found is not NOTHING and found is not None and type(found) is not int:
            return None
        total = by if found is NOTHING or found is None else found + by
        self.set(key, total, ttl if found is NOTHING else KEEP)
        return int(total)


def _holds(value: Any, path: tuple[str, ...], wanted: Any) -> bool:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return value is not None and bool(value == wanted)
