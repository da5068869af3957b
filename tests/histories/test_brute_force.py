"""The checker agrees with brute force on small random histories, good and damaged ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from .checker import ROLLBACK, check
from .model import MEANINGS, Operation, Value, Values
from .test_checker import fail_over, lost, seen


def is_explained(history: list[Operation]) -> bool:
    """Try every order of the operations that respects time, with every choice of the uncertain ones."""

    def tried(left: list[Operation], state: dict[str, Value], undone_to: list[dict[str, Value]]) -> bool:
        if not any(one.certain for one in left):
            return True
        earliest = min(one.end for one in left if one.certain and one.end is not None)
        return any(
            tried([other for other in left if other is not one], *after)
            for one in left
            if one.start <= earliest and (one.certain or one.end is None or _in_time(one, left))
            for after in _results(one, state, undone_to)
        )

    def _in_time(one: Operation, left: list[Operation]) -> bool:
        """An uncertain operation with an end comes before everything that begins later has taken effect."""
        return all(other in left for other in history if other.start > (one.end or 0))

    return tried(history, {}, [])


def _results(
    one: Operation, state: dict[str, Value], undone_to: list[dict[str, Value]]
) -> Iterator[tuple[dict[str, Value], list[dict[str, Value]]]]:
    if one.action is ROLLBACK:
        for length, earlier in enumerate(undone_to):
            yield earlier, undone_to[:length]
        return
    keys = one.action.keys
    result, new = MEANINGS[one.action.name](tuple(state.get(key) for key in keys), one.action.arguments)
    after = {**state, **dict(zip(keys, new, strict=True))}
    if not one.certain:
        yield after, [*undone_to, state]
    elif result == one.result:
        yield after, (undone_to if all(after.get(key) == state.get(key) for key in after) else [])


def _history(chance: random.Random) -> list[Operation]:
    """Return some operations that overlap at random, done by the model in the order of their middles."""
    actions: list[tuple[str, str, int]] = [
        ("get", "x", 0),
        ("set", "x", 1),
        ("set", "x", 1),
        ("exists", "x", 0),
        ("delete", "x", 0),
        ("delete", "x", 0),
        ("create", "y", 1),
        ("update", "x", 1),
        ("get", "y", 0),
        ("replace_both", "xy", 2),
        ("read_both", "xy", 0),
        ("move", "xy", 0),
        ("get_and_delete", "y", 0),
    ]
    state: dict[str, Value] = {}
    history = []
    for number in range(chance.randrange(3, 7)):
        name, keys, values = chance.choice(actions)
        arguments: Values = tuple((f"{number}:{position}",) for position in range(values))
        result, new = MEANINGS[name](tuple(state.get(key) for key in keys), arguments)
        start, end = number * 10 - chance.randrange(25), number * 10 + chance.randrange(25)
        if chance.random() < 0.25:
            history.append(lost(start, name, keys, *arguments))
            if chance.random() < 0.5:
                continue
        else:
            history.append(seen(start, end, result, name, keys, *arguments))
        state.update(zip(keys, new, strict=True))
    return history


def _damaged(history: list[Operation], chance: random.Random) -> list[Operation]:
    """Exchange two answers of one kind, or change one."""
    answers = [number for number, one in enumerate(history) if one.certain and one.action.name != "set"]
    if not answers:
        return history
    damaged = list(history)
    one, other = chance.choice(answers), chance.choice(answers)
    result = history[other].result if history[one].action.name == history[other].action.name else None
    damaged[one] = Operation(history[one].action, history[one].start, history[one].end, result)
    return damaged


@pytest.mark.parametrize("rolls_back", [False, True], ids=["one server", "fail-over"])
def test_agrees_with_brute_force(rolls_back: bool) -> None:
    chance = random.Random(6)
    verdicts = [0, 0]
    for _ in range(1500):
        history = _history(chance)
        if chance.random() < 0.6:
            history = _damaged(history, chance)
        if rolls_back:
            history.append(fail_over(chance.randrange(40)))
        expected = is_explained(history)
        assert (not check(history)) == expected, "\n".join(map(str, history))
        verdicts[expected] += 1
    assert min(verdicts) > 200
