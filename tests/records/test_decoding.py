"""JSON text of any origin to values, and a text that is the same for equal values."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ad_seller.storage.errors import CorruptValueError, InvalidValueError
from ad_seller.storage.records.codec import canonical, decode, encode
from ad_seller.storage.records.values import MAX_INT_DIGITS
from ad_seller.storage.testing.conformance.samples import same
from tests.json_values import values


class TestDecoding:
    @pytest.mark.parametrize(
        "text",
        [
            *(
                b"",
                b" ",
                b"{",
                b"[1,]",
                b"nul",
                b"'a'",
                b'"\x01"',
                b"NaN",
                b"Infinity",
                b"-Infinity",
                b"01",
                b"1 2",
            ),
            *(b'{"a":}', b"{a:1}", b"\xff", b'"\xff"', b'"\xed\xa0\x80"', b'\xff\xfe"\x00a\x00"\x00', b"1e999"),
            *(b"[" * 100_000, b'"\\x"', b"+1", b"[" + b"9" * (MAX_INT_DIGITS + 2) + b"]"),
        ],
        ids=lambda text: repr(text[:20]),
    )
    def test_what_is_not_json_is_corrupt(self, text: bytes) -> None:
        with pytest.raises(CorruptValueError) as caught:
            decode(text, key="deal:1")
        assert caught.value.key == "deal:1"
        assert "deal:1" in str(caught.value)
        assert caught.value.__cause__ is not None

    @given(st.binary())
    def test_any_bytes_are_a_value_or_corrupt(self, text: bytes) -> None:
        try:
            value = decode(text)
        except CorruptValueError:
            return
        assert same(decode(encode(value)), value) or b"\\u" in text  # an older writer may have escaped a surrogate

    @given(values, st.data())
    def test_a_cut_text_is_no_other_value(self, value: Any, data: st.DataObject) -> None:
        text = encode([value])
        cut = text[: data.draw(st.integers(0, len(text) - 1))]
        with pytest.raises(CorruptValueError):
            decode(cut)

    @pytest.mark.parametrize("value", [None, 5, object()])
    def test_what_is_no_text_is_corrupt(self, value: Any) -> None:
        with pytest.raises(CorruptValueError):
            decode(value)

    def test_big_ints_are_read_whatever_python_allows_itself(self) -> None:
        before = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(640)
        try:
            assert decode(b"[1" + b"0" * 5000 + b"]") == [10**5000]
            assert decode(encode(-(10**5000))) == -(10**5000)
            assert decode(encode({"a": 10**700})) == {"a": 10**700}
        finally:
            sys.set_int_max_str_digits(before)


class TestCanonical:
    @given(values)
    def test_order_of_names_does_not_count(self, value: Any) -> None:
        assert canonical(value) == canonical(reordered(value))

    @given(values, values)
    def test_equal_only_if_equal_with_types(self, left: Any, right: Any) -> None:
        assert (canonical(left) == canonical(right)) == same(
            reordered(left, sort=True), reordered(right, sort=True)
        )

    @pytest.mark.parametrize("pair", [(1, 1.0), (1, True), (0, False), (0.0, -0.0), ("1", 1), ([], {}), ("", None)])
    def test_types_count(self, pair: tuple[Any, Any]) -> None:
        assert canonical(pair[0]) != canonical(pair[1])

    def test_bad_values_are_refused(self) -> None:
        for bad in (math.nan, {1: 2}, {"a": {1}}, "\ud800"):
            with pytest.raises(InvalidValueError):
                canonical(bad)


def reordered(value: Any, *, sort: bool = False) -> Any:
    if isinstance(value, dict):
        names = sorted(value) if sort else reversed(value)
        return {name: reordered(value[name], sort=sort) for name in names}
    if isinstance(value, list):
        return [reordered(item, sort=sort) for item in value]
    return value
