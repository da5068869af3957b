"""What a time to live may be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ad_seller.storage.errors import InvalidTTLError
from ad_seller.storage.records.expiry import MAX_TTL_MS, check_ttl
from ad_seller.storage.testing.conformance.samples import BAD_TTLS


class Number(float):
    """Like numpy.float64, which is a float, too."""


class NeverComparable(float):
    """A float whose operators raise; float() makes a plain one of it."""

    def __mul__(self, other: object) -> float:
        raise RuntimeError("not now")

    def __le__(self, other: object) -> bool:
        raise RuntimeError("not now")

    __ge__ = __lt__ = __gt__ = __le__


class RaisingClass:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("not now")


def test_none_is_no_expiry() -> None:
    assert check_ttl(None) is None


@pytest.mark.parametrize(
    ("ttl", "milliseconds"),
    [
        (1, 1000),
        (86_400, 86_400_000),
        (0.1, 100),
        (0.0004, 1),
        (1e-300, 1),
        (5e-324, 1),
        (1.0001, 1001),
        (Number(2.5), 2500),
        (NeverComparable(1.5), 1500),
        (timedelta(seconds=1.5), 1500),
        (timedelta(microseconds=1), 1),
        (timedelta(days=1), 86_400_000),
        (MAX_TTL_MS // 1000, MAX_TTL_MS // 1000 * 1000),
    ],
)
def test_milliseconds(ttl: object, milliseconds: int) -> None:
    result = check_ttl(ttl)
    assert type(result) is int
    assert result == milliseconds


@pytest.mark.parametrize("name", BAD_TTLS)
def test_bad_ttl_is_refused_and_names_the_key(name: str) -> None:
    with pytest.raises(InvalidTTLError) as caught:
        check_ttl(BAD_TTLS[name], key="deal:1")
    assert caught.value.key == "deal:1"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("ttl", [MAX_TTL_MS // 1000 + 1, MAX_TTL_MS, float(MAX_TTL_MS), timedelta(days=60_000_000)])
def test_just_too_large(ttl: object) -> None:
    with pytest.raises(InvalidTTLError):
        check_ttl(ttl)


@pytest.mark.parametrize("make", [RaisingClass, Fraction, object, dict])
def test_hostile_object_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidTTLError):
        check_ttl(make())


@given(st.floats(min_value=1e-9, max_value=MAX_TTL_MS // 1000 - 1))
def test_never_shorter_and_at_most_a_millisecond_longer(ttl: float) -> None:
    milliseconds = check_ttl(ttl)
    assert milliseconds is not None
    assert milliseconds >= ttl * 1000
    assert milliseconds < ttl * 1000 + 1


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=10_000)))
def test_timedeltas_to_the_microsecond(ttl: timedelta) -> None:
    exact = Fraction(ttl // timedelta(microseconds=1), 1000)
    milliseconds = check_ttl(ttl)
    assert milliseconds is not None
    assert exact <= milliseconds + Fraction(1, 10**6)
    assert milliseconds < exact + 1 + Fraction(1, 10**6)


@given(st.one_of(st.floats(), st.integers(), st.timedeltas(), st.text(), st.none(), st.booleans()))
def test_anything_is_a_positive_number_of_milliseconds_or_an_error(ttl: object) -> None:
    try:
        milliseconds = check_ttl(ttl)
    except InvalidTTLError:
        return
    assert milliseconds is None or 1 <= milliseconds <= MAX_TTL_MS
