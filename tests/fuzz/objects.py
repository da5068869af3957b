"""Objects that pretend to be JSON, with a plain rule for what may be stored and how it comes back."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict, defaultdict
from typing import Any

from hypothesis import strategies as st

from ad_seller.storage.records.values import MAX_DEPTH, MAX_INT_DIGITS
from tests.json_values import any_text, values

#: Digits of ints far from either side of the limit, whose exact place is another test's subject.
_FEW, _MANY = 5000, 2 * MAX_INT_DIGITS


class Text(str):
    """A str that says something else about itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "not this"

    def encode(self, *_: Any) -> bytes:
        return b"nor this"


class Real(float):
    def __repr__(self) -> str:
        return "nan"


class Whole(int):
    def __repr__(self) -> str:
        return "1e999"


class Record(dict[Any, Any]):
    def __len__(self) -> int:
        return 0


class Row(list[Any]):
    def __bool__(self) -> bool:
        raise RuntimeError("not today")


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Odd:
    """No JSON at all."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not today")

    __hash__ = object.__hash__


likely = st.one_of(
    values,
    any_text.map(Text),
    st.floats(allow_nan=False, allow_infinity=False).map(Real),
    st.integers(-(2**80), 2**80).map(Whole),
    st.sampled_from([1, -1]).map(lambda sign: sign * 10**_FEW),
    st.sampled_from([Colour.RED, Level.HIGH, 2**64, -(2**63) - 1, -0.0, 5e-324]),
)
unlikely = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, Real("nan"), "\ud800", "a\udfff", Text("\udc00")]),
    st.sampled_from([1, -1]).map(lambda sign: sign * 10**_MANY),
    st.builds(Odd),
    st.builds(object),
    st.binary(max_size=2),
    st.frozensets(st.integers(), max_size=2),
    st.sampled_from([..., 1j, range(2), dict, len, NotImplemented]),
)
names = st.one_of(any_text, any_text.map(Text), st.just(Colour.RED))
bad_names = st.one_of(st.integers(), st.none(), st.booleans(), st.binary(max_size=2), st.just("\ud83d"))


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    dicts = st.dictionaries(names, inner, max_size=4)
    lists = st.lists(inner, max_size=4)
    return st.one_of(
        lists,
        lists.map(tuple),
        lists.map(Row),
        dicts,
        dicts.map(Record),
        dicts.map(OrderedDict),
        dicts.map(lambda found: defaultdict(list, found)),
        inner.map(lambda part: [part, part, {"again": part}]),
        st.tuples(inner, st.sampled_from([9, 12, 13, 60, 190, 205])).map(lambda drawn: _deep(*drawn)),
        st.tuples(bad_names, inner).map(lambda pair: dict([pair])),
        lists.map(_in_itself),
    )


def _deep(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = [value] if level % 2 else {"d": value}
    return value


def _in_itself(items: list[Any]) -> list[Any]:
    items.append({"self": items})
    return items


#: Mostly what may be stored.
objects = st.recursive(st.one_of(likely, likely, likely, unlikely), _containers, max_leaves=12)


def storable(value: Any, above: tuple[int, ...] = ()) -> bool:
    """Tell whether the contract lets the value be stored, by looking at every part of it."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return all(not "\ud800" <= char <= "\udfff" for char in str.__str__(value))
    if isinstance(value, int):
        return int.bit_length(value) < 4 * MAX_INT_DIGITS
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, dict | list | tuple) or id(value) in above or len(above) >= MAX_DEPTH:
        return False
    parts = list(value.values()) if isinstance(value, dict) else list(value)
    if isinstance(value, dict) and not all(isinstance(name, str) and storable(name) for name in value):
        return False
    return all(storable(part, (*above, id(value))) for part in parts)


def as_json(value: Any) -> Any:
    """Return what comes back for a value that may be stored."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, dict):
        return {str.__str__(name): as_json(part) for name, part in value.items()}
    return [as_json(part) for part in value]
