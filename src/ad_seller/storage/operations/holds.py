"""Holds: what neither `apply_retention` nor `erase` removes or changes, whatever their rules say.

They stand in the store, all in one entry, so that every process sees them; each commit that removes something
depends on that entry being as it was read. A hold also stops what is about to expire: its expiry is taken off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ..base import StorageBackend
from ..errors import CorruptValueError, InvalidArgumentError, InvalidPatternError, InvalidValueError, shown
from ..records.codec import encode
from ..records.globs import Glob, compile_glob
from ..records.namespaces import MARK
from ..records.several import several
from ..seller.log_entries import marks_of_any_field
from .fields import first_refused, moment_of

HOLDS_KEY: Final = "retention:holds"

_PAGE: Final = 500


def out_of_reach(prefix: str) -> str | None:
    """Return why no rule may be about the keys that begin with ``prefix``, or None if one may."""
    if HOLDS_KEY.startswith(prefix):
        return f"reaches {HOLDS_KEY!r}, where the holds stand; make its prefix longer"
    if prefix.startswith(MARK) or MARK.startswith(prefix):
        return (
            f"reaches into namespaces ({MARK!r}), which have holds and open deals of their own; apply it to the "
            "namespace itself (--namespace NAME), with a prefix as the namespace knows it"
        )
    return None


def key_pattern(pattern: str) -> Glob:
    """Return a pattern that some key can match, compiled.

    Raises:
        InvalidPatternError: none can.
    """
    if "\0" in pattern:
        raise InvalidPatternError("No key has a NUL in it, so none matches")
    return compile_glob(pattern)


@dataclass(frozen=True, slots=True)
class Hold:
    """What is kept, and why.

    Attributes:
        name: of the hold, e.g. the number of a case.
        patterns: globs of keys.
        reason: why.
        since: ISO 8601.
    """

    name: str
    patterns: tuple[str, ...]
    reason: str
    since: str

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"name": self.name, "patterns": list(self.patterns), "reason": self.reason, "since": self.since}


class Holds:
    """All holds, compiled.

    Args:
        stored: what stands under `HOLDS_KEY`.

    Raises:
        InvalidValueError: that is no holds: then nothing may be removed.
    """

    def __init__(self, stored: Any) -> None:
        """Read them."""
        self.all = _parsed(stored)
        self._globs: list[tuple[str, Glob]] = [
            (hold.name, compile_glob(pattern)) for hold in self.all for pattern in hold.patterns
        ]

    def over(self, key: str) -> str | None:
        """Return the name of a hold over a key, or None."""
        return next((name for name, glob in self._globs if glob.matches(key)), None)


def _parsed(stored: Any) -> tuple[Hold, ...]:
    if stored is None:
        return ()
    try:
        found = tuple(
            Hold(name, tuple(one["patterns"]), str(one["reason"]), str(one["since"]))
            for name, one in stored.items()
        )
        for pattern in (pattern for hold in found for pattern in hold.patterns):
            compile_glob(pattern)
        return found
    except (AttributeError, KeyError, TypeError, InvalidArgumentError) as error:
        raise InvalidValueError(
            f"{HOLDS_KEY!r} is no list of holds ({shown(stored)}); until it is repaired nothing is removed",
            key=HOLDS_KEY,
        ) from error


async def holds_of(store: StorageBackend) -> Holds:
    """Return the holds of a store.

    Raises:
        InvalidValueError: something else stands in their place.
    """
    return Holds(await store.get(HOLDS_KEY))


async def place_hold(store: StorageBackend, name: str, patterns: Iterable[str], *, reason: str) -> int:
    """Keep what matches from now on, and let nothing of it expire; return how many entries would have expired.

    It binds retention and erasure of the store, or of the namespace, in which it is placed.

    Entries that are stored with an expiry afterwards expire, unless `apply_retention` comes by before: it renews
    what a hold takes off. A hold of the same name is replaced.

    Args:
        store: connected.
        name: of the hold.
        patterns: globs of keys.
        reason: why; it stands in every report.

    Raises:
        InvalidArgumentError: one of them is empty, or no str; or a pattern is about a namespace of the store.
    """
    wanted = [patterns] if isinstance(patterns, str) else list(several("The patterns of a hold", patterns))
    for what, text in (("name", name), ("reason", reason), *(("pattern", pattern) for pattern in wanted)):
        if not isinstance(text, str) or not text.strip():
            raise InvalidArgumentError(f"The {what} of a hold is a non-empty str, not {shown(text)}")
    if not wanted:
        raise InvalidArgumentError("A hold has at least one pattern of keys")
    parts = [("name", name, lambda: encode(name)), ("reason", reason, lambda: encode(reason))]
    problem = first_refused([*parts, *(("pattern", one, partial(key_pattern, one)) for one in wanted)])
    if problem is not None:
        raise InvalidArgumentError(f"The hold {shown(name)} {problem}")
    for pattern in wanted:
        if compile_glob(pattern).prefix.startswith(MARK):
            raise InvalidArgumentError(
                f"The pattern {pattern!r} is about a namespace, whose retention looks at its own holds only. Place "
                "the hold in the namespace itself (--namespace NAME), with a pattern as the namespace knows it"
            )
    record = {"patterns": wanted, "reason": reason, "since": moment_of(time.time())}
    await store.update(HOLDS_KEY, lambda current: {**_known(current), name: record})
    return await keep_held(store, wanted)


async def release_hold(store: StorageBackend, name: str) -> bool:
    """Take a hold back; return False if there is none of this name. What it kept from expiring stays."""
    taken = False

    def without(current: Any) -> dict[str, Any]:
        nonlocal taken
        known = _known(current)
        taken = name in known
        return {each: hold for each, hold in known.items() if each != name}

    await store.update(HOLDS_KEY, without)
    return taken


def _known(current: Any) -> Mapping[str, Any]:
    _parsed(current)
    return current or {}


async def keep_held(store: StorageBackend, patterns: Iterable[str]) -> int:
    """Take the expiry off what matches, and off what leads to entries of logs; return of how many entries."""
    kept = 0
    for pattern in patterns:
        cursor: str | None = None
        while True:
            corrupt: list[CorruptValueError] = []
            page = await store.scan(pattern, limit=_PAGE, cursor=cursor, on_corrupt=corrupt.append)
            keys = [*(key for key, _ in page.items), *(error.key for error in corrupt if error.key)]
            left = await asyncio.gather(*map(store.ttl, keys), return_exceptions=True)
            expiring = [key for key, one in zip(keys, left, strict=True) if isinstance(one, float | int)]
            for key, value in page.items:
                await _keep_all(store, marks_of_any_field(key, value) if key in expiring else [])
            kept += await _keep_all(store, expiring)
            cursor = page.cursor
            if cursor is None:
                break
    return kept


async def _keep_all(store: StorageBackend, keys: Iterable[str]) -> int:
    return sum(await asyncio.gather(*map(store.persist, keys)))
