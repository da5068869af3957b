"""Values that cannot be read: set aside, or made readable, so that listings work again.

Older seller agents wrote what Python's json module lets through, NaN first of all, and other programs write what
they like. Such an entry raises `CorruptValueError` wherever it is read.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

from ..base import StorageBackend
from ..driver.commit import Commit, Delete, Expect, Put, Refused
from ..errors import CorruptValueError, InvalidArgumentError, MissingKeyError, UnsupportedError
from ..records.codec import decode
from ..records.expiry import check_ttl
from ..records.keys import check_key
from ..records.markers import KEEP
from ..records.values import parse_int

#: The prefix under which an entry is set aside.
DAMAGED_PREFIX: Final = "damaged:"

_PAGE = 500  #: entries that are read at once

What = Literal["found", "set aside", "nulls", "changed", "left"]


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was done about one entry that could not be read.

    Attributes:
        key: its key.
        reason: why it could not be read; for "left" also why nothing was done.
        what: "found": only looked at. "set aside": it lies under ``to``. "nulls": NaN and infinities are null now.
            "changed": somebody else wrote or deleted it meanwhile. "left": it is as it was.
        to: the key under which it was set aside.
    """

    key: str
    reason: str
    what: What
    to: str | None = None

    @property
    def is_readable(self) -> bool:
        """Whether nothing that cannot be read is left under the key, as far as this call knows."""
        return self.what in ("set aside", "nulls", "changed")


async def repair(
    storage: StorageBackend, pattern: str = "*", *, dry_run: bool = False, nulls: bool = False
) -> AsyncIterator[Repaired]:
    """Set the entries aside whose values cannot be read; yield each when it is done.

    The entry ``deal:1`` is moved to ``damaged:deal:1`` (``damaged:deal:1~2`` where that is taken, and so on) as
    ``{"key", "reason", "text"}``, with "base64" in place of "text" where the bytes are no UTF-8. It keeps its
    expiry. First the copy is stored, then the entry is removed if it still holds the same bytes: so nothing is
    lost at whatever point this ends, nothing newer is touched, and it can be run again. Both are commits of their
    own, because on a cluster and in a hybrid the two keys may lie in different places.

    Args:
        storage: a connected backend, in use or not.
        pattern: which keys are looked at, a glob.
        dry_run: change nothing.
        nulls: where that is enough to make a value readable, put null in place of NaN and infinite numbers (which
            older agents stored) and leave the entry where it is.

    Raises:
        StorageError: the store cannot be read or written; what was yielded before is done.
    """
    cursor: str | None = None
    while True:
        errors: list[CorruptValueError] = []
        page = await storage.scan(pattern, limit=_PAGE, cursor=cursor, on_corrupt=errors.append)
        for error in errors:
            reason = str(error.__cause__ or error)
            if error.key is None or dry_run:
                yield Repaired(error.key or "", reason, "found")
            else:
                yield await _repair_one(storage, error.key, reason, nulls=nulls)
        cursor = page.cursor
        if cursor is None:
            return


async def _repair_one(storage: StorageBackend, key: str, reason: str, *, nulls: bool) -> Repaired:
    try:
        [text] = await storage._atomic_snapshot([key])
        if text is None or _is_readable(text):
            return Repaired(key, reason, "changed")
        mended = _with_nulls(storage, key, text) if nulls else None
        if mended is None:
            return await _set_aside(storage, key, text, reason)
        applied = await _applies(storage, Commit((Expect(key, text),), (Put(key, mended, KEEP),)))
        return Repaired(key, reason, "nulls" if applied else "changed")
    except (CorruptValueError, InvalidArgumentError, UnsupportedError) as error:
        # A backend of seven methods shows no bytes; a key or a copy may be too long. All else is no entry's fault.
        return Repaired(key, f"{reason}; it was left: {error}", "left")


async def _set_aside(storage: StorageBackend, key: str, text: bytes, reason: str) -> Repaired:
    try:
        ttl_ms = check_ttl(await storage.ttl(key), key=key)
    except MissingKeyError:
        return Repaired(key, reason, "changed")
    record = storage._atomic_encode({"key": key, "reason": reason, **_carried(text)}, key)
    to, is_ours = await _copy(storage, key, record, ttl_ms)
    if await _applies(storage, Commit((Expect(key, text),), (Delete(key),))):
        return Repaired(key, reason, "set aside", to)
    if is_ours:  # somebody wrote a newer value, or deleted it: then there is nothing to keep
        await _applies(storage, Commit((Expect(to, record),), (Delete(to),)))
    return Repaired(key, reason, "changed")


async def _copy(storage: StorageBackend, key: str, record: bytes, ttl_ms: int | None) -> tuple[str, bool]:
    """Store the copy under a name that is free, or holds it already; return the name, and whether we stored it."""
    for number in itertools.count(1):
        name = check_key(f"{DAMAGED_PREFIX}{key}" + (f"~{number}" if number > 1 else ""))
        if await _applies(storage, Commit((Expect(name, None),), (Put(name, record, ttl_ms),))):
            return name, True
        if await storage._atomic_snapshot([name]) == [record]:
            return name, False  # from a run that ended between its two steps
    raise AssertionError("not reached: counting does not end")


async def _applies(storage: StorageBackend, commit: Commit) -> bool:
    return not isinstance(await storage._atomic_commit(commit), Refused)


def _is_readable(text: bytes) -> bool:
    try:
        decode(text)
    except CorruptValueError:
        return False
    return True


def _carried(text: bytes) -> dict[str, str]:
    """Return the bytes in a form that JSON can carry."""
    try:
        return {"text": text.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(text).decode()}


def _with_nulls(storage: StorageBackend, key: str, text: bytes) -> bytes | None:
    """Return the text with null for what is no finite number; None if that does not make it readable."""
    try:
        value = json.loads(text.decode(), parse_int=parse_int, parse_float=_finite, parse_constant=_nothing)
        return storage._atomic_encode(value, key)
    except (ValueError, RecursionError):  # an `InvalidValueError` is a ValueError, too
        return None


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _nothing(name: str) -> None:
    """Put null in place of what Python's json module calls a constant: NaN, Infinity, -Infinity."""
