"""How often a listing that is decoded looks whether others have waited long enough."""

from __future__ import annotations

import pytest

from ad_seller.storage.concurrency.timeslice import TimeSlice
from ad_seller.storage.errors import CorruptValueError
from ad_seller.storage.runtime.listing import decode_all

LARGE = b'"' + b"x" * 5_000 + b'"'


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[TimeSlice]:
    """Each look at the clock."""
    found: list[TimeSlice] = []
    monkeypatch.setattr(TimeSlice, "is_due", property(found.append))
    return found


@pytest.mark.parametrize(("text", "least", "most"), [(LARGE, 100, 100), (b"1", 1, 2), (b"{", 100, 100)])
async def test_after_each_large_row_and_after_many_small_ones(
    text: bytes, least: int, most: int, looks: list[TimeSlice]
) -> None:
    """One that cannot be read counts like a large one: to tell of it takes as long."""
    told: list[CorruptValueError] = []
    await decode_all([(f"k{number}", text) for number in range(100)], told.append)
    assert least <= len(looks) <= most
    assert len(told) == (100 if text == b"{" else 0)


async def test_an_error_that_is_kept_keeps_nothing_else() -> None:
    """A traceback holds all that was being decoded, tens of megabytes of a large page."""
    told: list[CorruptValueError] = []
    await decode_all([("k1", b"1"), ("k2", b"{")], told.append)
    [error] = told
    assert error.key == "k2"
    causes = [error, error.__cause__, error.__context__]
    assert [cause.__traceback__ for cause in causes if cause is not None] == [None, None, None]


@pytest.mark.parametrize("causes", [1, 2])
async def test_what_the_caller_handles_meanwhile_is_left_as_it_is(causes: int) -> None:
    """Also where its causes form a circle; Python hangs it to the error of the entry."""
    told: list[CorruptValueError] = []
    errors = [KeyError(number) for number in range(causes)]
    for error, cause in zip(errors, errors[1:] + errors[:1], strict=True):
        error.__cause__ = cause
    try:
        raise errors[0]
    except KeyError:
        await decode_all([("k1", b"{")], told.append)
    assert len(told) == 1
    assert errors[0].__traceback__ is not None
