"""The one atomic primitive, as data: expectations and writes, applied all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import starmap
from typing import NamedTuple

from ..records.markers import Keep


class Expect(NamedTuple):
    """``key`` holds exactly ``text``, as it was read; None: there is no live entry."""

    key: str
    text: bytes | None


class Put(NamedTuple):
    """Store ``text``; it expires after ``ttl_ms`` milliseconds, never (None), or when it did before (KEEP)."""

    key: str
    text: bytes
    ttl_ms: int | Keep | None = None


class Delete(NamedTuple):
    """Remove the entry."""

    key: str


class Touch(NamedTuple):
    """Give a live entry a new time to live in milliseconds, or none at all."""

    key: str
    ttl_ms: int | None


Write = Put | Delete | Touch


class Commit(NamedTuple):
    """Writes that are applied, in order, if all of the expectations hold, and not at all otherwise."""

    expectations: tuple[Expect, ...]
    writes: tuple[Write, ...]

    @property
    def first_key(self) -> str | None:
        """The key that messages name; None if the commit is empty."""
        parts = self.writes or self.expectations
        return parts[0].key if parts else None

    @property
    def keys(self) -> list[str]:
        """Every key that is named, once, sorted."""
        return sorted({part.key for part in (*self.expectations, *self.writes)})


def commit_of(reads: Mapping[str, bytes | None], writes: Mapping[str, Write]) -> Commit:
    """Return the commit of what was read and is to be written, each by its key."""
    return Commit(tuple(starmap(Expect, reads.items())), tuple(writes.values()))


class Refused(NamedTuple):
    """The commit was not applied because the expectation about ``key`` does not hold."""

    key: str


#: For each write, whether it had something to apply to (a Put always has, a Delete and a Touch need a live
#: entry); or the expectation that failed.
Outcome = list[bool] | Refused
