"""What each operation means, one after the other: the sequential model that histories are compared with.

Registers hold the last two writes they have seen, as unique names; counters hold an int; None is "no entry". So
every value tells who wrote it and, after an update, whom that followed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

Value = tuple[str, ...] | int | None
Values = tuple[Value, ...]
Meaning = Callable[[Values, Values], tuple[Any, Values]]


class Action(NamedTuple):
    """What a caller asks for."""

    name: str
    keys: tuple[str, ...]
    arguments: Values = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """An action as somebody saw it.

    Attributes:
        start: when it was called, in nanoseconds of a clock that all processes share.
        end: when it was answered; None if it was not, so that it may take effect at any later time.
        result: the answer.
        certain: it did take effect; otherwise it may have, once, between start and end.
    """

    action: Action
    start: int
    end: int | None
    result: Any = None
    certain: bool = True

    def __str__(self) -> str:
        """Show it in one line, with microseconds."""
        end = "never" if self.end is None else f"{self.end // 1000}"
        told = f"-> {self.result!r}" if self.certain else "-> unknown"
        arguments = ", ".join(map(repr, (*self.action.keys, *self.action.arguments)))
        return f"[{self.start // 1000} to {end}] {self.action.name}({arguments}) {told}"


def _get(values: Values, _: Values) -> tuple[Any, Values]:
    return values[0], values


def _exists(values: Values, _: Values) -> tuple[Any, Values]:
    return values[0] is not None, values


def _set(_: Values, new: Values) -> tuple[Any, Values]:
    return None, new


def _delete(values: Values, _: Values) -> tuple[Any, Values]:
    return values[0] is not None, (None,)


def _get_and_delete(values: Values, _: Values) -> tuple[Any, Values]:
    return values[0], (None,)


def _create(values: Values, new: Values) -> tuple[Any, Values]:
    return (True, new) if values[0] is None else (False, values)


def _compare_and_set(values: Values, arguments: Values) -> tuple[Any, Values]:
    expected, new = arguments
    holds = values[0] is not None and values[0] == expected
    return (True, (new,)) if holds else (False, values)


def _update(values: Values, arguments: Values) -> tuple[Any, Values]:
    [before], [name] = values, arguments
    new = ((before if isinstance(before, tuple) else ()) + (name if isinstance(name, tuple) else ()))[-2:]
    return new, (new,)


def _once(values: Values, new: Values) -> tuple[Any, Values]:
    return (new[0], new) if values[0] is None else (values[0], values)


def _increment(values: Values, arguments: Values) -> tuple[Any, Values]:
    [before], [by] = values, arguments
    new = (before if isinstance(before, int) else 0) + (by if isinstance(by, int) else 0)
    return new, (new,)


def _read_both(values: Values, _: Values) -> tuple[Any, Values]:
    return values, values


def _replace_both(values: Values, new: Values) -> tuple[Any, Values]:
    return values, new


def _move(values: Values, _: Values) -> tuple[Any, Values]:
    return values, (values if values[0] is None else (None, values[0]))


#: From the values under its keys, and its arguments, to its result and the new values.
MEANINGS: dict[str, Meaning] = {
    "get": _get,
    "exists": _exists,
    "set": _set,
    "delete": _delete,
    "get_and_delete": _get_and_delete,
    "create": _create,
    "compare_and_set": _compare_and_set,
    "update": _update,
    "increment": _increment,
    "effect": _once,
    "booking": _once,
    "get_many": _read_both,
    "set_many": _set,
    "read_both": _read_both,
    "replace_both": _replace_both,
    "move": _move,
}

#: Those that change nothing.
READS = frozenset({"get", "exists", "get_many", "read_both"})

#: Those that write whatever is there, and answer nothing.
BLIND = frozenset({"set", "set_many"})

#: Those that act on another system: where they fail, the next one goes on with what was made.
LASTING = frozenset({"effect", "booking"})

#: Those that are made of several reads and writes in a transaction.
TRANSACTIONS = frozenset({"read_both", "replace_both", "move"})


def frozen(value: Any) -> Any:
    """Return a JSON value as it stands in the model: lists as tuples."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value
