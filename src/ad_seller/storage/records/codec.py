"""Values to JSON text and back: exact, or an error that says where.

The common case is one pass that looks at types, then msgspec's encoder. Everything else (subclasses, ints
that need more digits than Python prints, deep and hostile values) goes through `values.Checker`, which knows
the place of what it refuses.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from ..errors import CorruptValueError, InvalidValueError, shown
from .values import Checker, parse_int

#: Larger values are refused unless the backend is told otherwise.
DEFAULT_MAX_VALUE_BYTES = 64 * 1024 * 1024

_FAST_DEPTH = 12
_FAST_WIDTH = 10_000  #: elements of one level above which a repeated container is looked for
_SCALARS = frozenset({str, int, bool, type(None)})
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
        text = _encode(value) if _is_plain(value) else _encode_checked(value, max_bytes)
    except Exception:  # surrogates, giant ints, objects that raise what they like: look for the place
        text = _encode_or_explain(value, key, max_bytes)
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
    try:
        return _encode_sorted(Checker(DEFAULT_MAX_VALUE_BYTES).plain(value))
    except InvalidValueError:
        raise
    except Exception as error:
        raise InvalidValueError(f"The value cannot be stored: {_said(error)}") from error


def _is_plain(value: Any) -> bool:
    """Tell whether the value surely holds nothing but exact JSON types, looking at it level by level.

    Deep values, and large ones in which a container stands more than once (they can be far larger as text
    than in memory), are left to the checker.
    """
    level = [value]
    for _ in range(_FAST_DEPTH):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                for name in item:
                    if type(name) is not str:
                        return False
                children = item.values()
            elif kind is list or kind is tuple:
                children = item
            elif kind in _SCALARS or (kind is float and item - item == 0.0):  # not NaN, not infinite
                continue
            else:
                return False
            for child in children:  # a third faster than a comprehension: most have few children
                if type(child) not in _SCALARS:
                    below.append(child)  # noqa: PERF401
        if not below:
            return True
        if len(below) > _FAST_WIDTH and len({id(item) for item in below}) < len(below):
            return False
        level = below
    return False


def _encode_checked(value: Any, max_bytes: int) -> bytes:
    return _encode(Checker(max_bytes).plain(value))


def _encode_or_explain(value: Any, key: str | None, max_bytes: int) -> bytes:
    try:
        return _encode_checked(value, max_bytes)
    except InvalidValueError as error:
        error.key = key
        raise
    except Exception as error:
        raise InvalidValueError(f"The value for {key!r} cannot be stored: {_said(error)}", key=key) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(error.args)}"


def _decode_slowly(text: bytes | str, key: str | None) -> Any:
    """Decode valid JSON that msgspec refuses: giant ints, surrogates that an older writer escaped."""
    try:
        if not isinstance(text, str):
            text = text.decode()  # strictly UTF-8; json would guess
        import json  # costs a millisecond of our start, and few texts come here

        return json.loads(text, parse_int=parse_int, parse_float=_parse_float, parse_constant=_no_constant)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptValueError(
            f"The value stored under {key!r} is not JSON ({error}). It was left as it is; "
            "write or delete the key, or let `ad-seller-storage repair` set such values aside.",
            key=key,
        ) from error


def _parse_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits:.40} is out of range")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
