"""Whatever is given to the codec comes back as it was or is refused as a whole; nothing else happens."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ad_seller.storage.errors import CorruptValueError, InvalidValueError
from ad_seller.storage.records.codec import canonical, decode, encode
from ad_seller.storage.testing.conformance.samples import same
from tests.fuzz.objects import as_json, objects, storable
from tests.json_values import values

#: `FUZZ=100` draws so many times more.
FACTOR = float(os.environ.get("FUZZ", "1"))

#: Pieces of JSON and of what is nearly JSON.
_PIECES = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "\\",
    "\\u0000",
    "\\ud800",
    "1",
    "-",
    ".",
    "e",
    "0",
    "null",
    "true",
    "NaN",
]
texts = st.lists(
    st.sampled_from([*_PIECES, " ", "\n", "\u00e9", "Infinity", '"a"', "1e999", "1" * 700]), max_size=12
)


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=max(1, int(examples * FACTOR)), deadline=None, suppress_health_check=list(HealthCheck)
    )


@given(objects)
@fuzz(300)
def test_stored_exactly_or_refused(value: Any) -> None:
    event(f"storable: {storable(value)}")
    if storable(value):
        assert same(decode(encode(value, key="k")), as_json(value))
    else:
        with pytest.raises(InvalidValueError) as caught:
            encode(value, key="k")
        assert caught.value.key == "k"
        assert len(str(caught.value)) < 500


@given(objects)
@fuzz(150)
def test_canonical_text_is_one_for_each_value(value: Any) -> None:
    if storable(value):
        assert canonical(value) == canonical(as_json(value)) == canonical(decode(encode(value)))
    else:
        with pytest.raises(InvalidValueError):
            canonical(value)


@given(texts.map("".join))
@fuzz(300)
def test_texts_are_read_as_a_strict_reader_does(text: str) -> None:
    try:
        expected = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_any_int)
    except ValueError:
        for form in (text, text.encode()):
            with pytest.raises(CorruptValueError):
                decode(form, key="k")
    else:
        assert same(decode(text.encode(), key="k"), expected)
        assert same(decode(text, key="k"), expected)


@given(values, st.binary(max_size=3), st.data())
@fuzz(150)
def test_damaged_texts_are_a_value_or_corrupt(value: Any, noise: bytes, data: st.DataObject) -> None:
    text = encode(value)
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + noise + text[at + len(noise) :]
    try:
        found = decode(damaged, key="k")
    except CorruptValueError as error:
        assert error.key == "k"  # noqa: PT017 - either is fine
    else:
        assert same(found, json.loads(damaged, parse_int=_any_int))


def _refuse(name: str) -> float:
    raise ValueError(name)


def _any_int(digits: str) -> int:
    return int(Decimal(digits))  # Python's own limit on digits does not apply to it


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(digits)
    return number
