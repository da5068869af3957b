"""What `find` is asked for: checked, and with cursors that belong to it alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidArgumentError, InvalidCursorError, InvalidPatternError, InvalidValueError, shown
from ..records.codec import decode, encode
from ..records.filters import Condition
from ..records.globs import Glob, compile_glob, prefix_glob
from ..records.keys import decode_cursor, encode_cursor
from .query import KeyQuery


@dataclass(frozen=True, slots=True)
class Search:
    """Records under some keys that fulfil some conditions.

    Attributes:
        glob: which keys.
        where: the conditions.
        reverse: whether the greatest key comes first.
    """

    glob: Glob
    where: tuple[Condition, ...]
    reverse: bool

    @classmethod
    def of(cls, pattern: object, where: object, *, reverse: bool) -> Search:
        """Check what a caller asks for; see `StorageBackend.find`.

        Raises:
            InvalidPatternError: ``pattern`` is no text, or empty.
            InvalidArgumentError: ``where`` is no dict of fields and values.
        """
        if not isinstance(where, Mapping):
            raise InvalidArgumentError(
                f"What to find is a dict of fields and values, such as {{'status': 'open'}}; not {shown(where)}"
            )
        return cls(_glob(pattern), tuple(_condition(*item) for item in where.items()), reverse)

    def query(self, cursor: str | None, limit: int | None) -> KeyQuery:
        """Return what an engine is asked for.

        Raises:
            InvalidCursorError: the cursor is of another search, or none.
        """
        return KeyQuery(self.glob, self._after(cursor), limit, self.where, self.reverse)

    def cursor(self, key: str) -> str:
        """Return the cursor that goes on after ``key``."""
        return f"{self._mark}.{encode_cursor(key)}"

    def _after(self, cursor: object) -> str | None:
        if cursor is None:
            return None
        mark, dot, rest = cursor.partition(".") if isinstance(cursor, str) else ("", "", "")
        if not dot:
            raise InvalidCursorError(
                f"Not a cursor of find: {shown(cursor)}. Pass the `cursor` of the page before, or None to start."
            )
        if mark != self._mark:
            raise InvalidCursorError(
                f"The cursor {shown(cursor)} is of another search. Go on with the same pattern, where and reverse, "
                "or start with None."
            )
        return decode_cursor(rest)

    @property
    def _mark(self) -> str:
        """What tells this search from others."""
        regex = None if self.glob.regex is None else self.glob.regex.pattern
        asked = [self.glob.prefix, self.glob.literal, regex, sorted(map(repr, self.where)), self.reverse]
        return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]


def _glob(pattern: object) -> Glob:
    """Return which keys: of a kind, with a prefix, or those that match a glob."""
    glob = compile_glob(pattern)
    assert isinstance(pattern, str)  # noqa: S101 - or it would have been refused
    if not pattern:
        raise InvalidPatternError("Find by what the keys begin with, such as 'event:', or '*' for all of them")
    if any(char in pattern for char in "*?[\\"):
        return glob
    return prefix_glob(glob.prefix if ":" in pattern else f"{glob.prefix}:")


def _condition(field: object, value: Any) -> Condition:
    path = tuple(field.split(".")) if isinstance(field, str) else ()
    if not path or not all(path):
        raise InvalidArgumentError(
            f"A field is a name, or names with dots between, such as 'product.product_id'; not {shown(field)}"
        )
    if value is None:
        raise InvalidArgumentError(
            f"No record is found by None in {field!r}: null and a missing field never match. Leave the field out."
        )
    try:
        return Condition(path, decode(encode(value)))  # as a stored record has it: a tuple is a list there
    except InvalidValueError as error:
        raise InvalidArgumentError(
            f"What {field!r} is to hold is no JSON value, so no record has it: {shown(value)}"
        ) from error
