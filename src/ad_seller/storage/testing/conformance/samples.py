"""Keys, values and times to live that a backend must keep exactly, and others that it must refuse."""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ...base import StorageBackend
from ...records.keys import MAX_KEY_BYTES
from ...records.values import MAX_DEPTH

GOOD_KEYS = {
    "plain": "deal:DEMO-A1B2C3D4E5F6",
    "one character": "x",
    "space": " ",
    "newline": "two\nlines",
    "ends in a newline": "deal\n",
    "control characters": "\x01\x1f\x7f\r\t",
    "like wildcards": "100%_off",
    "glob characters": "a*b?c[d]e\\f^g!h-i",
    "a closed class": "[abc]",
    "single quote": "o'reilly'; DROP TABLE kv_store; --",
    "double quote": 'say "hello"',
    "JSON": '{"key": null}',
    "slashes": "../../etc/passwd",
    "dots": "..",
    "URL": "agent_url_index:https://buyer.example:8443/a?b=c&d=%20#e",
    "braces": "{tag}:{0}",
    "accents, composed": "caf\u00e9",
    "accents, decomposed": "cafe\u0301",
    "upper case": "ORDER:1",
    "lower case": "order:1",
    "private use": "\ue000",
    "last of the BMP": "\uffff",
    "astral": "\U0001f600",
    "last code point": "\U0010ffff",
    "right to left": "\u05d0\u202e\u05d1",
    "longest": "k" * MAX_KEY_BYTES,
    "longest, two bytes each": "\u00e9" * (MAX_KEY_BYTES // 2),
    "longest, three bytes each": "\u20ac" * (MAX_KEY_BYTES // 3) + "kk",
    "longest, four bytes each": "\U0001f600" * (MAX_KEY_BYTES // 4),
}

BAD_KEYS: dict[str, Any] = {
    "empty": "",
    "NUL": "a\0b",
    "lone high surrogate": "a\ud800",
    "lone low surrogate": "\udfffb",
    "a pair of surrogates": "\ud83d\ude00",
    "too long": "k" * (MAX_KEY_BYTES + 1),
    "too long, two bytes each": "\u00e9" * (MAX_KEY_BYTES // 2) + "k",
    "too long, four bytes each": "\U0001f600" * (MAX_KEY_BYTES // 4) + "k",
    "None": None,
    "bytes": b"key",
    "int": 1,
    "bool": True,
    "tuple": ("a", "b"),
}


def fitted(key: str, backend: StorageBackend) -> str:
    """Return the key, cut to what the backend declares to be the longest."""
    return key.encode()[: backend.capabilities.max_key_bytes].decode(errors="ignore")


def nested(depth: int, *, key: str | None = None) -> Any:
    """Return lists in lists, or dicts in dicts under ``key``, ``depth`` containers deep."""
    value: Any = [] if key is None else {}
    for _ in range(depth - 1):
        value = [value] if key is None else {key: value}
    return value


GOOD_VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "minus one": -1,
    "64 bit": 2**63 - 1,
    "above 64 bit": 2**64,
    "below 64 bit": -(2**63) - 1,
    "5,000 digits": 10**5000,
    "5,000 negative digits": -(10**5000) + 1,
    "giant ints inside": {"n": [10**5000, {"m": -(2**200)}], "s": "text"},
    "float with an int's value": 1.0,
    "large float with an int's value": 1e22,
    "float above 2**53": 123456789012345680.0,
    "negative zero": -0.0,
    "smallest float": 5e-324,
    "largest float": sys.float_info.max,
    "unround float": 0.1 + 0.2,
    "empty str": "",
    "NUL in a str": "a\0b\0",
    "control characters": "".join(map(chr, range(32))),
    "quotes and backslashes": '"\'\\"\\u0000 \\n',
    "line separators": "\u2028\u2029\x85",
    "astral": "\U0001f600\U0010ffff\ufffe\uffff\ufeff",
    "looks like JSON": '{"a": NaN}',
    "looks like a number": "1e999",
    "empty list": [],
    "empty dict": {},
    "null inside": {"a": None, "b": [None]},
    "empty name": {"": {"": 1}},
    "odd names": {"a\0b": 1, "a.b": 2, "$": 3, "__proto__": 4, "\u00e9": 5, "e\u0301": 6},
    "order of names": {"z": 1, "a": 2, "m": {"9": 1, "10": 2, "1": 3}},
    "one, once as each type": [1, 1.0, True, "1", None],
    "a record": {"id": "qt-1", "price": 12.5, "tags": ["a", "b"], "open": True, "note": None},
    "deep lists": nested(MAX_DEPTH),
    "deep dicts": nested(MAX_DEPTH, key="d"),
    "one megabyte": {"text": "\u00e9x\n" * 262_144},
    "many elements": list(range(20_000)),
}


def _cycle() -> Any:
    value: dict[str, Any] = {"a": []}
    value["a"].append({"b": value})
    return value


def _self_containing_list() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def _shared(width: int, depth: int) -> Any:
    """A few small lists that stand for ``width ** depth`` elements when written out."""
    value: Any = "x"
    for _ in range(depth):
        value = [value] * width
    return value


class _Colour(enum.Enum):
    RED = "red"


class _RaisingDict(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items today")


class _RaisingFloat(float):
    def __float__(self) -> float:
        raise KeyError("no float today")


class _RaisingClass:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("no class today")


class _FalseStr:
    __class__ = str  # type: ignore[assignment]


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr today")


#: What cannot be stored: a function that makes the value, and where in it the offence stands.
BAD_VALUES: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN": (lambda: math.nan, "$"),
    "infinity": (lambda: [1.0, math.inf], "$[1]"),
    "minus infinity inside": (lambda: {"a": [1, {"b": -math.inf}]}, "$.a[1].b"),
    "set": (lambda: {"ids": {1, 2}}, "$.ids"),
    "frozenset": (lambda: frozenset(), "$"),
    "bytes": (lambda: [b"raw"], "$[0]"),
    "bytearray": (lambda: {"a": {"b": bytearray(b"raw")}}, "$.a.b"),
    "object": (lambda: {"a": object()}, "$.a"),
    "class": (lambda: [[dict]], "$[0][0]"),
    "function": (lambda: [len], "$[0]"),
    "generator": (lambda: {"a": (i for i in range(3))}, "$.a"),
    "range": (lambda: range(3), "$"),
    "complex": (lambda: [1j], "$[0]"),
    "Decimal": (lambda: {"price": Decimal("1.5")}, "$.price"),
    "datetime": (lambda: {"at": datetime.now(UTC)}, "$.at"),
    "timedelta": (lambda: timedelta(1), "$"),
    "enum": (lambda: {"colour": _Colour.RED}, "$.colour"),
    "int as a name": (lambda: {"a": {1: "x"}}, "$.a"),
    "int and str as names": (lambda: {1: "x", "1": "y"}, "$"),
    "None as a name": (lambda: [{None: 1}], "$[0]"),
    "bool as a name": (lambda: {True: 1}, "$"),
    "tuple as a name": (lambda: {(1, 2): 1}, "$"),
    "bytes as a name": (lambda: {b"a": 1}, "$"),
    "lone surrogate": (lambda: {"a": "x\ud800"}, "$.a"),
    "lone surrogate in a name": (lambda: {"a": {"\udfff": 1}}, "$.a"),
    "a pair of surrogates": (lambda: ["\ud83d\ude00"], "$[0]"),
    "cycle": (_cycle, "$.a[0].b"),
    "list in itself": (_self_containing_list, "$[0]"),
    "too deep": (lambda: nested(MAX_DEPTH + 1), "$" + "[0]" * MAX_DEPTH),
    "too deep, dicts": (lambda: nested(MAX_DEPTH + 1, key="d"), "$" + ".d" * MAX_DEPTH),
    "far too deep": (lambda: nested(100_000), "$" + "[0]" * MAX_DEPTH),
}

#: Values above the limit of 64 MiB.
TOO_LARGE_VALUES: dict[str, Callable[[], Any]] = {
    "a long str": lambda: "x" * (64 * 2**20),
    "few lists that stand for a trillion elements": lambda: _shared(2, 40),
    "few wide lists that stand for a trillion elements": lambda: _shared(100, 6),
}

#: Objects that raise when they are looked at; where is not promised.
HOSTILE_VALUES: dict[str, Callable[[], Any]] = {
    "dict that raises": lambda: {"a": _RaisingDict(b=1)},
    "float that raises": lambda: [_RaisingFloat(1.5)],
    "class that raises": lambda: {"a": _RaisingClass()},
    "pretends to be a str": lambda: [_FalseStr()],
    "cannot be printed": lambda: {"a": _Unprintable()},
    "name that cannot be printed": lambda: {_Unprintable(): 1},
    "name that pretends to be a str": lambda: {_FalseStr(): 1},
}

HOSTILE_KEYS: dict[str, Callable[[], Any]] = {
    "class that raises": _RaisingClass,
    "pretends to be a str": _FalseStr,
    "cannot be printed": _Unprintable,
}

BAD_TTLS: dict[str, Any] = {
    "zero": 0,
    "zero as a float": 0.0,
    "negative zero": -0.0,
    "negative": -1,
    "negative float": -0.001,
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "true": True,
    "false": False,
    "str": "60",
    "bytes": b"60",
    "list": [60],
    "Decimal": Decimal(60),
    "too large": 10**18,
    "too large for a float": 10**400,
    "too large a float": 1e300,
    "no time": timedelta(0),
    "negative time": timedelta(seconds=-1),
    "too much time": timedelta.max,
}


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal, of the same types, in the same order, down to the sign of zero."""
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return left.hex() == right.hex()
    return type(left) is type(right) and bool(left == right)
