"""Whether two stores hold the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import Final, get_args

from ..base import StorageBackend
from ..errors import InvalidArgumentError, shown
from ..records.several import several
from .comparing import Difference, Kind, compare
from .exporting import Progress
from .walking import check_prefix

_NAMED: Final = 20  #: keys of each kind that are named
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(slots=True)
class Verified:
    """How a target differs from its source.

    Attributes:
        compared: entries of the source.
        counts: differences by kind.
        named: the first keys of each kind.
        wanted: the kinds that count as faults.
    """

    compared: int = 0
    counts: Counter[Kind] = field(default_factory=Counter)
    named: dict[Kind, list[str]] = field(default_factory=dict)
    wanted: Collection[Kind] = KINDS

    @property
    def faults(self) -> int:
        """How many differences count as faults."""
        return sum(self.counts[kind] for kind in self.wanted)

    def note(self, differences: list[Difference]) -> None:
        """Count differences, and keep some keys."""
        for kind, many in Counter(map(attrgetter("kind"), differences)).items():
            self.counts[kind] += many
            keys = self.named.setdefault(kind, [])
            if left := _NAMED - len(keys):
                keys += islice((each.key for each in differences if each.kind == kind), left)


async def verify(
    source: StorageBackend,
    target: StorageBackend,
    *,
    prefix: str = "",
    kinds: Collection[Kind] = KINDS,
    progress: Progress | None = None,
) -> Verified:
    """Compare two stores, entry by entry: keys, values and expiries. Nothing is written.

    Values are compared as values, whatever blanks their texts have; expiries to 20 ms, the contract's precision
    (to a second where one of the stores is a backend of seven methods). What is written meanwhile may differ.

    Args:
        source: a connected backend.
        target: another one.
        prefix: only keys that begin with it.
        kinds: the kinds of difference that count as faults.
        progress: called with the number of entries so far.

    Raises:
        InvalidArgumentError: ``kinds`` are others, or a lone text; or no key begins with ``prefix``.
        StorageError: a store cannot be read.
    """
    check_prefix(prefix)
    if unknown := [kind for kind in several("kinds", kinds) if kind not in KINDS]:
        raise InvalidArgumentError(f"The kinds of difference are {', '.join(KINDS)}; not {shown(unknown[0])}")
    found = Verified(wanted=kinds)
    async with aclosing(compare(source, target, prefix)) as parts:
        async for part in parts:
            found.compared += part.seen
            found.note(part.differences)
            if progress is not None:
                progress(found.compared)
    return found
