"""What JSON can carry exactly: the thorough check, which names the place of what it refuses."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec

from ..errors import InvalidValueError, shown

#: Containers inside containers. The JSON parsers of Python, SQLite and PostgreSQL all take this much.
MAX_DEPTH = 200

#: Turning an int into digits and back takes time that grows with the square of their number: a tenth of a
#: second at this one, with everything else waiting.
MAX_INT_DIGITS = 100_000

_SHORT_INT_DIGITS = 600  # below the least that sys.set_int_max_str_digits allows, 640
_BITS_PER_DIGIT = math.log2(10)


class Checker:
    """Checks one value and makes a copy of it from exact JSON types.

    A container that stands in several places is checked and copied once; its size as text counts each time.
    So the work is bounded by what is in memory, and a small object graph that would be gigabytes of text is
    refused at once.

    Args:
        max_bytes: refuse what is surely longer as text.
    """

    def __init__(self, max_bytes: int) -> None:
        """Start with nothing seen."""
        self._max_bytes = max_bytes
        self._open: set[int] = set()
        self._done: dict[int, tuple[Any, int, int]] = {}

    def plain(self, value: Any) -> Any:
        """Return the copy; an int of very many digits is its text, as a `msgspec.Raw`.

        Raises:
            InvalidValueError: JSON cannot carry the value; names the path.
        """
        return self._visit(value, "$", 0)[0]

    def _visit(self, value: Any, path: str, depth: int) -> tuple[Any, int, int]:
        """Return the copy, the least size of its text in bytes, and how many levels it has."""
        if value is None or value is True or value is False:
            return value, 4, 0
        if isinstance(value, str):
            text = _plain_str(value, path)
            return text, len(text) + 2, 0
        if isinstance(value, int):
            return _plain_int(int(value), path), 1, 0
        if isinstance(value, float):
            return _plain_float(float(value), path), 3, 0
        if isinstance(value, dict | list | tuple):
            return self._container(value, path, depth)
        raise InvalidValueError(
            f"JSON has no {type(value).__name__} (at {_short(path)}); use dict, list, str, number, bool or None",
            path=path,
        )

    def _container(
        self, value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, depth: int
    ) -> tuple[Any, int, int]:
        identity = id(value)
        if identity in self._open:
            raise InvalidValueError(f"The value contains itself (at {_short(path)})", path=path)
        known = self._done.get(identity)
        if known is None:
            if depth >= MAX_DEPTH:
                raise _too_deep(path)
            self._open.add(identity)
            if isinstance(value, dict):
                known = self._dict(value, path, depth + 1)
            else:
                known = self._list(value, path, depth + 1)
            self._open.discard(identity)
            self._done[identity] = known
        if depth + known[2] > MAX_DEPTH:
            raise _too_deep(path)
        if known[1] > self._max_bytes:
            raise InvalidValueError(
                f"The value takes more than {self._max_bytes:,} bytes, which is the limit (at {_short(path)})",
                path=path,
            )
        return known

    def _list(self, value: list[Any] | tuple[Any, ...], path: str, depth: int) -> tuple[Any, int, int]:
        size, levels = 2, 0
        copy = []
        for position, child in enumerate(value):
            plain, length, below = self._visit(child, f"{path}[{position}]", depth)
            copy.append(plain)
            size += length + 1
            levels = max(levels, below)
        return copy, size, levels + 1

    def _dict(self, value: dict[Any, Any], path: str, depth: int) -> tuple[Any, int, int]:
        size, levels = 2, 0
        copy = {}
        for name, child in value.items():
            plain_name = _plain_name(name, path)
            if plain_name in copy:
                raise InvalidValueError(
                    f"Two keys at {_short(path)} are both {shown(plain_name)} as text", path=path
                )
            copy[plain_name], length, below = self._visit(child, f"{path}.{plain_name}", depth)
            size += len(plain_name) + length + 4
            levels = max(levels, below)
        return copy, size, levels + 1


def parse_int(digits: str) -> int:
    """Return the int; Python's own limit on digits does not apply, ours does."""
    if len(digits) <= _SHORT_INT_DIGITS:
        return int(digits)
    if len(digits) > MAX_INT_DIGITS + 1:
        raise ValueError(f"an int of more than {MAX_INT_DIGITS:,} digits")
    return int(Decimal(digits))


def _plain_str(value: str, path: str) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(f"The str at {_short(path)} contains a lone surrogate", path=path) from None
    return text


def _plain_name(name: object, path: str) -> str:
    if not isinstance(name, str):
        raise InvalidValueError(
            f"The keys of a dict must be str; at {_short(path)} one is {type(name).__name__} {shown(name)}",
            path=path,
        )
    return _plain_str(name, path)


def _plain_int(value: int, path: str) -> int | msgspec.Raw:
    """Return the int, as raw digits if Python refuses to print that many (``Decimal`` does not)."""
    digits = value.bit_length() / _BITS_PER_DIGIT
    if digits < _SHORT_INT_DIGITS:
        return value
    if digits > MAX_INT_DIGITS:
        raise InvalidValueError(
            f"The int at {_short(path)} has more than {MAX_INT_DIGITS:,} digits; store it as a str", path=path
        )
    return msgspec.Raw(f"{Decimal(value):f}".encode())


def _plain_float(value: float, path: str) -> float:
    if not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "infinity"
        raise InvalidValueError(f"JSON has no {name} (at {_short(path)})", path=path)
    return value


def _too_deep(path: str) -> InvalidValueError:
    return InvalidValueError(f"The value is nested deeper than {MAX_DEPTH} levels", path=path)


def _short(path: str) -> str:
    return path if len(path) <= 120 else f"{path[:60]}…{path[-58:]}"
