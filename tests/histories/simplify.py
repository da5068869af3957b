"""Histories in the form that is quickest to check: by keys that belong together, with few different operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .model import READS, Action, Operation, Value

#: Operations that do the same as another one, and differ in what they answer.
_SAME_EFFECT = {"get_and_delete": "delete", "replace_both": "set_many"}


def groups_of(operations: Iterable[Operation]) -> list[tuple[tuple[str, ...], list[Operation]]]:
    """Return groups of keys that operations join, each with its operations."""
    group_of: dict[str, set[str]] = {}
    by_key: dict[str, list[Operation]] = {}
    for one in operations:
        joined = set().union(*(group_of.get(key, {key}) for key in one.action.keys))
        group_of.update(dict.fromkeys(joined, joined))
        by_key.setdefault(one.action.keys[0], []).append(one)
    groups = {id(group): group for group in group_of.values()}.values()
    return [(tuple(sorted(group)), [one for key in group for one in by_key.get(key, ())]) for group in groups]


def simplified(operations: Sequence[Operation]) -> list[tuple[Operation, Action]]:
    """Return the operations with actions that are equal where nobody can tell them apart: fewer orders to be tried.

    Of an uncertain operation only the effect counts, and one that only reads has none. If nobody saw what it wrote,
    that has the same name as all else that nobody saw.
    """
    seen: set[str] = set()
    for one in operations:
        if one.certain:
            seen |= _names(one.result)
        if one.action.name == "compare_and_set":
            seen |= _names(one.action.arguments[0])
    pairs = []
    for one in operations:
        name, keys, arguments = one.action
        if one.certain:
            pairs.append((one, one.action))
        elif name not in READS:
            values = tuple(_without_names(value, seen) for value in arguments)
            pairs.append((one, Action(_SAME_EFFECT.get(name, name), keys, values)))
    return pairs


def _without_names(value: Value, seen: set[str]) -> Value:
    """Return the value without the names that nobody saw."""
    return tuple(name if name in seen else "unseen" for name in value) if isinstance(value, tuple) else value


def _names(value: object) -> set[str]:
    """Return the names of writes in a value, or in several."""
    if isinstance(value, tuple):
        return set().union(*map(_names, value))
    return {value} if isinstance(value, str) else set()
