"""What clients wrote down about an outbox: a good record is accepted, and each mistake in it is found."""

from __future__ import annotations

import pytest

from .messages import LEASE, mistakes
from .model import Action, Operation

SECOND = 10**9


def op(
    name: str, start: float, end: float | None, *arguments: str, key: str = "k", result: object = None
) -> Operation:
    return Operation(
        Action(name, (key,), tuple((one,) for one in arguments)),
        int(start * SECOND),
        None if end is None else int(end * SECOND),
        result,
        certain=end is not None or name == "deliver",
    )


GOOD = [
    op("put", 0, 1, "a", result="1"),
    op("put", 2, 3, "b", result="2"),
    op("deliver", 4, 4.1, "1", "a"),
    op("acknowledge", 4.1, None, "1"),  # nobody was told how it ended
    op("deliver", 5, 5.1, "1", "a"),
    op("acknowledge", 5.1, 5.2, "1"),
    op("deliver", 6, None, "2", "b"),  # its process was killed
    op("deliver", 6 + LEASE, 7, "2", "b"),
    op("acknowledge", 7, 7.1, "2"),
]
BOOKING = Operation(Action("booking", ("e1",), (("x",),)), 0, SECOND, ("x",))
TOLD = op("deliver", 2, 2.1, "3", '["e1", "x"]', key="e1")


def test_a_good_record() -> None:
    assert mistakes([*GOOD, TOLD], [BOOKING]) == []


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (GOOD, "nobody was told"),
        ([*GOOD, TOLD, op("put", 0, 1, "c", result="9")], "was lost"),
        ([*GOOD, TOLD, op("deliver", 9, 9.1, "5", "d")], "was not put"),
        ([*GOOD, TOLD, op("deliver", 8, 8.1, "7", "b")], "several ids"),
        ([*GOOD, TOLD, op("deliver", 8, 8.1, "2", "b")], "after it was acknowledged"),
        ([*GOOD, TOLD, op("acknowledge", 8, 8.1, "2")], "2 times"),
        ([*GOOD, TOLD, op("deliver", 6.1, 6.2, "2", "b")], "at the same time"),
        ([*GOOD[:5], *GOOD[6:], TOLD, op("deliver", 8, 8.1, "1", "a")], "put later"),
    ],
)
def test_a_mistake_is_found(record: list[Operation], told: str) -> None:
    assert told in " ".join(mistakes(record, [BOOKING]))
