"""The checker accepts what some order explains and nothing else: known good and bad histories."""

from __future__ import annotations

from typing import Any

import pytest

from . import checker
from .checker import ROLLBACK, UndecidedError, check
from .model import Action, Operation, Value

A, B, C = ("a:1",), ("b:1",), ("c:1",)


def seen(start: int, end: int, result: Any, name: str, keys: str, *arguments: Value) -> Operation:
    """An operation that was answered; each letter of ``keys`` is one."""
    return Operation(Action(name, tuple(keys), arguments), start, end, result)


def lost(start: int, name: str, keys: str, *arguments: Value) -> Operation:
    """An operation whose outcome nobody was told."""
    return Operation(Action(name, tuple(keys), arguments), start, None, certain=False)


def fail_over(start: int, end: int | None = None) -> Operation:
    """From here on, or only to there, unconfirmed writes may be undone."""
    return Operation(ROLLBACK, start, end, certain=False)


GOOD = {
    "nothing": [],
    "one after the other": [
        seen(1, 2, None, "set", "x", A),
        seen(3, 4, A, "get", "x"),
        seen(5, 6, True, "delete", "x"),
        seen(7, 8, None, "get", "x"),
    ],
    "a read beside a write sees the old value": [seen(1, 9, None, "set", "x", A), seen(2, 3, None, "get", "x")],
    "a read beside a write sees the new value": [seen(1, 9, None, "set", "x", A), seen(2, 3, A, "get", "x")],
    "end and start at the same moment overlap": [seen(1, 2, None, "set", "x", A), seen(2, 3, None, "get", "x")],
    "two writes in either order": [
        seen(1, 9, None, "set", "x", A),
        seen(1, 9, None, "set", "x", B),
        seen(10, 11, A, "get", "x"),
    ],
    "a lost write never took effect": [lost(1, "set", "x", A), seen(2, 3, None, "get", "x")],
    "a lost write took effect late": [
        lost(1, "set", "x", A),
        seen(2, 3, None, "get", "x"),
        seen(4, 5, None, "set", "x", B),
        seen(6, 7, A, "get", "x"),
    ],
    "a lost delete": [seen(1, 2, None, "set", "x", A), lost(3, "delete", "x"), seen(5, 6, None, "get", "x")],
    "a lost write that nobody saw explains an answer": [lost(1, "set", "x", A), seen(2, 3, True, "delete", "x")],
    "two lost increments": [
        lost(1, "increment", "n", 1),
        lost(2, "increment", "n", 1),
        seen(3, 4, 1, "get", "n"),
        seen(5, 6, 3, "increment", "n", 1),
    ],
    "an update after a lost update": [lost(1, "update", "x", A), seen(2, 3, A + B, "update", "x", B)],
    "one create of two": [seen(1, 9, True, "create", "x", A), seen(1, 9, False, "create", "x", B)],
    "a transaction beside readers": [
        seen(1, 9, (None, None), "replace_both", "xy", A, B),
        seen(2, 3, None, "get", "x"),
        seen(4, 5, (A, B), "read_both", "xy"),
        seen(6, 7, B, "get", "y"),
    ],
    "the same value written again after a delete": [
        seen(1, 2, None, "set", "x", A),
        seen(3, 9, None, "set", "x", A),
        seen(4, 5, True, "delete", "x"),
        seen(10, 11, A, "get", "x"),
    ],
    "a chain of moves": [
        seen(1, 2, None, "set", "x", A),
        seen(3, 4, (A, None), "move", "xy"),
        seen(5, 6, (None, A), "read_both", "xy"),
    ],
    "a dirty read before a fail-over": [
        seen(1, 2, None, "set", "x", A),
        lost(3, "set", "x", B),
        seen(4, 5, B, "get", "x"),
        fail_over(6),
        seen(7, 8, A, "get", "x"),
    ],
    "the last of two lost writes is undone": [
        lost(1, "increment", "n", 1),
        lost(2, "increment", "n", 1),
        seen(3, 4, 2, "get", "n"),
        fail_over(5),
        seen(6, 7, 1, "get", "n"),
    ],
}

BAD = {
    "a stale read": [
        seen(1, 2, None, "set", "x", A),
        seen(3, 4, None, "set", "x", B),
        seen(5, 6, A, "get", "x"),
    ],
    "a lost write": [seen(1, 2, None, "set", "x", A), seen(3, 4, None, "get", "x")],
    "a lost update": [seen(1, 9, 1, "increment", "n", 1), seen(2, 8, 1, "increment", "n", 1)],
    "an update that does not follow the one before": [
        seen(1, 2, A, "update", "x", A),
        seen(3, 4, B, "update", "x", B),
    ],
    "a torn transaction": [
        seen(1, 9, (None, None), "replace_both", "xy", A, B),
        seen(2, 3, A, "get", "x"),
        seen(4, 5, None, "get", "y"),
    ],
    "a transaction that reads halves": [
        seen(1, 9, (None, None), "replace_both", "xy", A, B),
        seen(2, 8, (A, None), "read_both", "xy"),
    ],
    "a torn batch": [seen(1, 9, None, "set_many", "xy", A, B), seen(2, 8, (None, B), "get_many", "xy")],
    "a delete that comes back": [
        seen(1, 2, None, "set", "x", A),
        seen(3, 4, True, "delete", "x"),
        seen(5, 6, A, "get", "x"),
    ],
    "a lost increment that counts twice": [lost(1, "increment", "n", 1), seen(2, 3, 2, "get", "n")],
    "a lost write that takes effect twice": [
        lost(1, "set", "x", A),
        seen(2, 3, A, "get", "x"),
        seen(4, 5, None, "set", "x", B),
        seen(6, 7, A, "get", "x"),
    ],
    "a lost write before it was begun": [seen(1, 2, A, "get", "x"), lost(3, "set", "x", A)],
    "a write before it was begun": [seen(1, 2, A, "get", "x"), seen(3, 4, None, "set", "x", A)],
    "readers that disagree about the order": [
        seen(1, 20, None, "set", "x", A),
        seen(1, 20, None, "set", "x", B),
        seen(2, 3, A, "get", "x"),
        seen(4, 5, B, "get", "x"),
        seen(6, 7, A, "get", "x"),
    ],
    "two creates": [seen(1, 9, True, "create", "x", A), seen(1, 9, True, "create", "x", B)],
    "an entry taken twice": [
        seen(1, 2, None, "set", "x", A),
        seen(3, 9, A, "get_and_delete", "x"),
        seen(3, 9, A, "get_and_delete", "x"),
    ],
    "a comparison with what is gone": [
        seen(1, 2, None, "set", "x", A),
        seen(3, 4, None, "set", "x", B),
        seen(5, 6, True, "compare_and_set", "x", A, C),
    ],
    "a value from nowhere": [seen(1, 2, A, "get", "x")],
    "an acknowledged write undone by a fail-over": [
        seen(1, 2, None, "set", "x", A),
        fail_over(3),
        seen(4, 5, None, "get", "x"),
    ],
    "a write undone under an acknowledged one": [
        lost(1, "increment", "n", 1),
        seen(2, 3, 2, "increment", "n", 1),
        fail_over(4),
        seen(5, 6, 1, "get", "n"),
    ],
    "an acknowledged write that nobody saw, undone with a lost one": [
        lost(1, "set", "x", A),
        seen(2, 3, False, "create", "x", B),
        seen(4, 5, None, "set", "x", C),
        fail_over(6),
        seen(7, 8, None, "get", "x"),
    ],
    "a write undone without a fail-over": [
        lost(1, "set", "x", A),
        seen(2, 3, A, "get", "x"),
        seen(4, 5, None, "get", "x"),
    ],
    "a write undone after the fail-over was over": [
        fail_over(1, 2),
        lost(3, "set", "x", A),
        seen(4, 5, A, "get", "x"),
        seen(6, 7, None, "get", "x"),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_accepts(name: str) -> None:
    assert check(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_rejects(name: str) -> None:
    [violation] = check(BAD[name])
    assert "no order explains" in str(violation)


def test_the_violation_names_the_answer_and_what_was_there() -> None:
    history = [*BAD["a stale read"], seen(1, 2, None, "set", "z", C), seen(3, 4, C, "get", "z")]
    [violation] = check(history)
    assert violation.operation == history[2]
    assert violation.keys == ("x",)
    assert violation.states == [(B,)]
    assert all(
        text in str(violation) for text in ("get('x') -> ('a:1',)", "held (('b:1',),)", "set('x', ('b:1',))")
    )


def test_each_group_of_keys_is_judged_by_itself() -> None:
    history = [*BAD["a lost update"], *BAD["a stale read"], *GOOD["a chain of moves"][1:]]
    assert {violation.keys for violation in check(history)} == {("n",), ("x", "y")}


def test_many_unknown_outcomes_are_no_trouble() -> None:
    """Each lost write doubles what may have happened; nearly all of that explains nothing more."""
    history = [lost(number, "set", "x", (f"u:{number}",)) for number in range(200)]
    history += [lost(number, "increment", "n", 1) for number in range(200)]
    history += [seen(1000, 1001, ("u:7",), "get", "x"), seen(1000, 1001, 100, "get", "n")]
    assert check(history) == []


def test_a_search_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "MOST_STEPS", 10)
    with pytest.raises(UndecidedError, match="given up"):
        check([seen(1, 9, number, "increment", "n", 1) for number in range(8)])
