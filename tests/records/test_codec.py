"""Values to JSON text and back."""

from __future__ import annotations

import enum
import json
import time
import tracemalloc
from collections import OrderedDict, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ad_seller.storage.errors import InvalidValueError
from ad_seller.storage.records.codec import decode, encode
from ad_seller.storage.records.values import MAX_DEPTH, MAX_INT_DIGITS
from ad_seller.storage.testing.conformance.samples import (
    BAD_VALUES,
    GOOD_VALUES,
    HOSTILE_VALUES,
    TOO_LARGE_VALUES,
    nested,
    same,
)
from tests.json_values import values


class Text(str):
    __slots__ = ()


class Number(float):
    """Like numpy.float64, which is a float, too."""

    def __repr__(self) -> str:
        return f"Number({float(self)})"


class Whole(int):
    def __repr__(self) -> str:
        return "whole"


class Twin(str):
    """Equal to nothing but itself, so that a dict can hold the same text twice."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 7


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class RaisingEquality:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not now")

    __hash__ = object.__hash__


class TestRoundTrip:
    @given(values)
    def test_any_json_comes_back(self, value: Any) -> None:
        assert same(decode(encode(value)), value)

    @given(values)
    def test_text_is_json_in_one_line(self, value: Any) -> None:
        text = encode(value)
        assert b"\n" not in text
        assert same(json.loads(text), value)

    @given(values)
    def test_text_of_another_writer_is_read(self, value: Any) -> None:
        assert same(decode(json.dumps(value)), value)
        assert same(decode(json.dumps(value, ensure_ascii=False, indent=1).encode()), value)

    @pytest.mark.parametrize("name", GOOD_VALUES)
    def test_samples(self, name: str) -> None:
        assert same(decode(encode(GOOD_VALUES[name])), GOOD_VALUES[name])

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_floats_stay_floats(self, number: float) -> None:
        for value in (number, [number], {"a": {"b": Number(number)}}):
            text = encode(value)
            assert any(mark in text for mark in (b".", b"e", b"E"))
        assert same(decode(encode(Number(number))), number)

    @given(st.integers(1, 20_000) | st.sampled_from([4300, 4301, MAX_INT_DIGITS]), st.booleans())
    @settings(deadline=None, max_examples=50)
    def test_ints_of_many_digits(self, digits: int, negative: bool) -> None:
        value = 10 ** (digits - 1) * (-1 if negative else 1)
        assert decode(encode({"n": [value]})) == {"n": [value]}

    def test_subclasses_become_their_base_types(self) -> None:
        value = {Text("a"): Text("x"), "b": (Number(1.0), Whole(2)), "c": [Colour.RED, Level.HIGH]}
        assert same(decode(encode(value)), {"a": "x", "b": [1.0, 2], "c": ["red", 3]})
        assert same(decode(encode(OrderedDict(z=1, a=(True, None)))), {"z": 1, "a": [True, None]})
        assert decode(encode(defaultdict(list, a=[1]))) == {"a": [1]}

    def test_same_part_in_several_places_is_no_cycle(self) -> None:
        part = {"x": [1]}
        value = [part, part, {"again": part, "deep": nested(50)}, nested(50)]
        assert decode(encode(value)) == value

    @pytest.mark.parametrize("depth", [1, 10, 11, 12, 13, 14, 100, MAX_DEPTH])
    def test_depth(self, depth: int) -> None:
        for value in (nested(depth), nested(depth, key="d")):
            assert decode(encode(value)) == value

    def test_nothing_is_changed_in_the_value(self) -> None:
        value = OrderedDict(a=(1, {"b": [Number(2.0)]}))
        encode(value)
        assert type(value["a"]) is tuple
        assert type(value["a"][1]["b"][0]) is Number


class TestRefusal:
    @pytest.mark.parametrize("name", BAD_VALUES)
    def test_bad_value_with_its_path_and_key(self, name: str) -> None:
        make, path = BAD_VALUES[name]
        with pytest.raises(InvalidValueError) as caught:
            encode(make(), key="deal:1")
        assert (caught.value.path, caught.value.key) == (path, "deal:1")
        assert len(str(caught.value)) < 500

    @pytest.mark.parametrize("name", [name for name in BAD_VALUES if "too deep" not in name])
    def test_wherever_it_stands(self, name: str) -> None:
        make, path = BAD_VALUES[name]
        for value, start in (
            ({"a": [make()]}, "$.a[0]"),
            (nested_around(make(), 30), "$" + "[0]" * 30),
            ([*range(20_000), make()], "$[20000]"),
        ):
            with pytest.raises(InvalidValueError) as caught:
                encode(value)
            assert caught.value.path == start + path[1:]

    @pytest.mark.parametrize("name", HOSTILE_VALUES)
    def test_hostile_value(self, name: str) -> None:
        for value in (HOSTILE_VALUES[name](), [nested_around(HOSTILE_VALUES[name](), 30)]):
            with pytest.raises(InvalidValueError):
                encode(value)

    @pytest.mark.parametrize(
        "evil", [RaisingEquality(), {1, RaisingEquality()}, iter([]), Exception, ..., slice(1)]
    )
    def test_other_objects(self, evil: object) -> None:
        with pytest.raises(InvalidValueError):
            encode([evil])

    def test_two_names_with_one_text_do_not_lose_one(self) -> None:
        for value in ({Twin("a"): 1, Twin("a"): 2}, {"x": [{Twin("a"): 1, "a": 2}]}):
            with pytest.raises(InvalidValueError):
                encode(value)

    @pytest.mark.parametrize("digits", [MAX_INT_DIGITS + 2, 10 * MAX_INT_DIGITS])
    def test_ints_of_far_too_many_digits(self, digits: int) -> None:
        with pytest.raises(InvalidValueError) as caught:
            encode({"n": 10**digits})
        assert caught.value.path == "$.n"

    @given(st.integers(1, 200))
    def test_size_limit_is_exact(self, size: int) -> None:
        value = "x" * size
        assert encode(value, max_bytes=size + 2)
        with pytest.raises(InvalidValueError):
            encode(value, max_bytes=size + 1)

    @given(values)
    def test_size_limit_is_the_length_of_the_text(self, value: Any) -> None:
        text = encode(value)
        assert encode(value, max_bytes=len(text)) == text
        with pytest.raises(InvalidValueError):
            encode(value, max_bytes=len(text) - 1)

    @pytest.mark.parametrize("name", TOO_LARGE_VALUES)
    def test_too_large_is_refused_quickly_and_without_memory(self, name: str) -> None:
        value = TOO_LARGE_VALUES[name]()
        tracemalloc.start()
        started = time.process_time()
        try:
            with pytest.raises(InvalidValueError):
                encode(value)
            assert time.process_time() - started < 10  # doing it would take days
            assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
        finally:
            tracemalloc.stop()

    def test_cycle_of_two(self) -> None:
        first: dict[str, Any] = {}
        first["second"] = {"first": first}
        with pytest.raises(InvalidValueError) as caught:
            encode(first)
        assert caught.value.path == "$.second.first"


def nested_around(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value
