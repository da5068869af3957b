"""Values to JSON text and back: exact, or an error that says where.

The common case is one pass that looks at types, then msgspec's encoder. Everything else (subclasses, ints
that need more digits than Python prints, hostile objects) takes the slow path, which knows the place of
what it rejects.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import msgspec

from .errors import CorruptValueError, InvalidValueError

#: Larger values are refused unless the backend is told otherwise.
DEFAULT_MAX_VALUE_BYTES = 64 * 1024 * 1024

#: Containers inside containers. SQLite's, PostgreSQL's and Python's JSON parsers all take this much.
MAX_DEPTH = 200

_FAST_DEPTH = 12
_SCALARS = frozenset({str, int, bool, type(None)})
_INT_DIGITS = 4000  # below sys.int_info.default_max_str_digits, which guards str(int) and int(str)
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode


def encode(value: Any, *, key: str | None = None, max_bytes: int = DEFAULT_MAX_VALUE_BYTES) -> bytes:
    """Return ``value`` as JSON text in UTF-8.

    A subclass of a JSON type (an enum of str, an OrderedDict) is stored as its base type, a tuple as a list.

    Args:
        value: dict with str keys, list or tuple, str, int, finite float, bool or None.
        key: the key to name in the error.
        max_bytes: the largest text that is accepted.

    Raises:
        InvalidValueError: JSON cannot carry the value exactly, or the text is too long; names the path.
    """
    try:
        text = _encode(value if _is_plain(value, max_bytes) else _Normaliser(max_bytes).plain(value, "$", 0))
    except InvalidValueError as error:
        error.key = key
        raise
    except (TypeError, ValueError, OverflowError, RecursionError):
        text = _encode_slowly(value, key, max_bytes)
    if len(text) > max_bytes:
        raise InvalidValueError(
            f"The value for {key!r} takes {len(text):,} bytes, the limit is {max_bytes:,}", key=key
        )
    return text


def decode(text: bytes | str, *, key: str | None = None) -> Any:
    """Return the value that ``text`` holds.

    Args:
        text: JSON text.
        key: the key to name in the error.

    Raises:
        CorruptValueError: it is not JSON.
    """
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError, ValueError):
        return _decode_slowly(text, key)


def canonical(value: Any) -> bytes:
    """Return a text that is equal for values that are equal in content and type, whatever the order of keys."""
    return _encode_sorted(_Normaliser(DEFAULT_MAX_VALUE_BYTES).plain(value, "$", 0))


def _is_plain(value: Any, max_bytes: int) -> bool:
    """Tell whether the value holds nothing but exact JSON types, level by level.

    Deep values go to the slow path, which looks for cycles; the count of elements bounds the work on values
    that refer to the same list again and again.
    """
    level = [value]
    budget = max_bytes
    for _ in range(_FAST_DEPTH):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                for name in item:
                    if type(name) is not str:
                        return False
                below += [child for child in item.values() if type(child) not in _SCALARS]
            elif kind is list or kind is tuple:
                below += [child for child in item if type(child) not in _SCALARS]
            elif kind is float:
                if item - item != 0.0:  # NaN and the infinities, without a call
                    return False
                continue
            elif kind not in _SCALARS:
                return False
            else:
                continue
            budget -= len(item)
            if budget < 0:
                return False
        if not below:
            return True
        level = below
    return False


class _Normaliser:
    """The slow path: a copy made of exact JSON types, or the error with its path."""

    def __init__(self, max_bytes: int) -> None:
        self._budget = max_bytes
        self._open: set[int] = set()

    def plain(self, value: Any, path: str, depth: int) -> Any:
        self._budget -= 1
        if self._budget < 0:
            raise InvalidValueError("The value has more elements than its size limit has bytes", path=path)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _plain_str(value, path)
        if isinstance(value, int):
            return _plain_int(int(value))
        if isinstance(value, float):
            return _plain_float(float(value), path)
        if isinstance(value, dict | list | tuple):
            return self._container(value, path, depth)
        raise InvalidValueError(
            f"JSON has no {type(value).__name__} (at {path}); store a dict, list, str, number, bool or None",
            path=path,
        )

    def _container(self, value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, depth: int) -> Any:
        if id(value) in self._open:
            raise InvalidValueError(f"The value contains itself (at {_short(path)})", path=path)
        if depth >= MAX_DEPTH:
            raise InvalidValueError(f"The value is nested deeper than {MAX_DEPTH} levels", path=path)
        self._open.add(id(value))
        try:
            if not isinstance(value, dict):
                return [self.plain(child, f"{path}[{i}]", depth + 1) for i, child in enumerate(value)]
            return {
                _plain_name(name, path): self.plain(child, f"{path}.{name}", depth + 1)
                for name, child in value.items()
            }
        finally:
            self._open.discard(id(value))


def _plain_str(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(f"The str at {_short(path)} contains a lone surrogate", path=path) from None
    return str.__str__(value)


def _plain_name(name: object, path: str) -> str:
    if not isinstance(name, str):
        raise InvalidValueError(
            f"The keys of a dict must be str; at {_short(path)} one is {type(name).__name__} {name!r:.60}",
            path=path,
        )
    return _plain_str(name, path)


def _plain_int(value: int) -> int | msgspec.Raw:
    """Return the int, as raw digits if Python refuses to print that many (``Decimal`` has no such limit)."""
    if value.bit_length() < 3 * _INT_DIGITS:
        return value
    return msgspec.Raw(f"{Decimal(value):f}".encode())


def _plain_float(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise InvalidValueError(f"JSON has no {value} (at {_short(path)})", path=path)
    return value


def _short(path: str) -> str:
    return path if len(path) <= 120 else f"{path[:60]}…{path[-58:]}"


def _encode_slowly(value: Any, key: str | None, max_bytes: int) -> bytes:
    """Encode what msgspec refused although the types looked right: surrogates, giant ints."""
    try:
        return _encode(_Normaliser(max_bytes).plain(value, "$", 0))
    except InvalidValueError as error:
        error.key = key
        raise
    except Exception as error:  # hostile objects raise what they like
        raise InvalidValueError(f"The value for {key!r} cannot be stored: {error}", key=key) from error


def _decode_slowly(text: bytes | str, key: str | None) -> Any:
    """Decode valid JSON that msgspec refuses: giant ints, surrogates that an older writer escaped."""
    try:
        return json.loads(text, parse_int=_parse_int, parse_float=_parse_float, parse_constant=_no_constant)
    except (ValueError, TypeError, RecursionError, ArithmeticError) as error:
        raise CorruptValueError(
            f"The value stored under {key!r} is not JSON ({error}). It was left as it is; "
            "write or delete the key to repair it.",
            key=key,
        ) from error


def _parse_int(digits: str) -> int:
    return int(digits) if len(digits) < _INT_DIGITS else int(Decimal(digits))


def _parse_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits:.40} is out of range")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
