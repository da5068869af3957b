"""Random operations, and how they are done on a real store."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from ad_seller.storage import StorageBackend, Transaction

from .model import MEANINGS, TRANSACTIONS, Action, Value, frozen
from .outside import Outside


@dataclass(frozen=True)
class Keys:
    """The keys of a history.

    Attributes:
        registers: each for itself.
        counters: likewise; they hold ints.
        pairs: registers that transactions join.
        batches: whether several entries can be set and read as one.
        effects: what is done once in another system, half of it as part of a request.
        outbox: the name of the outbox that tells of those requests.
    """

    registers: tuple[str, ...]
    counters: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    batches: bool = True
    effects: tuple[str, ...] = ()
    outbox: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        """Every key once."""
        return (*self.registers, *self.counters, *(key for pair in self.pairs for key in pair), *self.effects)

    def last(self, key: str) -> Action:
        """Return the action by which a client looks at a key at the end."""
        return self.once(key, ("last",)) if key in self.effects else Action("get", (key,))

    def once(self, key: str, value: tuple[str]) -> Action:
        """Return the action that makes one of the effects, or tells what was made."""
        return Action("booking" if self.effects.index(key) % 2 else "effect", (key,), (value,))


_REGISTER = {
    "get": 30,
    "exists": 4,
    "set": 15,
    "delete": 6,
    "get_and_delete": 3,
    "create": 10,
    "compare_and_set": 14,
    "update": 12,
}
_COUNTER = {"increment": 30, "get": 12, "get_and_delete": 1}
_PAIR = {"read_both": 15, "replace_both": 12, "move": 8}
_BATCH = {"get_many": 10, "set_many": 6}


class Chooser:
    """Chooses what one task does next; the same seed chooses the same, as long as it is told the same.

    Args:
        keys: what there is to choose from.
        seed: where the choices come from.
        name: stands in everything that is written, so that no two writes of a history are equal.
    """

    def __init__(self, keys: Keys, seed: str, name: str) -> None:
        self._keys = keys
        self._name = name
        self._chance = random.Random(seed)
        self._number = 0
        self._seen: dict[str, Value] = {}
        self._pair = {**_PAIR, **(_BATCH if keys.batches else {})}

    def choose(self) -> Action:
        """Return the next action."""
        kind = self._chance.choices(
            ("register", "counter", "pair", "effect"), (12, 4, 8, bool(self._keys.effects))
        )[0]
        if kind == "effect":
            return self._keys.once(self._chance.choice(self._keys.effects), self._new())
        if kind == "counter":
            action = Action(self._one_of(_COUNTER), (self._chance.choice(self._keys.counters),))
            return action._replace(arguments=(1,)) if action.name == "increment" else action
        pair = self._chance.choice(self._keys.pairs)
        if kind == "pair" and self._chance.random() < 0.7:
            name = self._one_of(self._pair)
            writes = name in ("replace_both", "set_many")
            return Action(name, pair, (self._new(), self._new()) if writes else ())
        key = self._chance.choice(pair if kind == "pair" else self._keys.registers)
        return self._on_register(self._one_of(_REGISTER), key)

    def saw(self, action: Action, result: Any) -> None:
        """Remember what a key held: that is worth expecting."""
        if action.name in ("get", "update"):
            self._seen[action.keys[0]] = result
        elif action.name in ("set", "create", "compare_and_set") and result is not False:
            self._seen[action.keys[0]] = action.arguments[-1]

    def _on_register(self, name: str, key: str) -> Action:
        if name == "compare_and_set":
            return Action(name, (key,), (self._seen.get(key) or self._new(), self._new()))
        return Action(name, (key,), (self._new(),) if name in ("set", "create", "update") else ())

    def _one_of(self, weights: dict[str, int]) -> str:
        return self._chance.choices(list(weights), list(weights.values()))[0]

    def _new(self) -> tuple[str]:
        self._number += 1
        return (f"{self._name}:{self._number}",)


class NewKeys:
    """Chooses to write each time under a key that is new: what was acknowledged must all be there in the end.

    Args:
        keys: their first register begins the new keys.
        seed: not needed.
        name: stands in each key.
    """

    def __init__(self, keys: Keys, seed: str, name: str) -> None:
        self._prefix = f"{keys.registers[0]}:{name}"
        self._number = 0

    def choose(self) -> Action:
        """Return the next action."""
        self._number += 1
        key = f"{self._prefix}:{self._number}"
        return Action("set", (key,), ((key,),))

    def saw(self, action: Action, result: Any) -> None:
        """Nothing depends on it."""


async def perform(store: StorageBackend, action: Action, outside: Outside) -> Any:
    """Do it, and return the result as the model would give it."""
    name, keys, arguments = action
    key = keys[0]
    if name == "effect":
        return frozen(await outside.effect(store, key, arguments[0]))
    if name == "booking":
        return frozen(await outside.booking(store, key, arguments[0]))
    if name in TRANSACTIONS:
        return await store.transact(lambda tx: _in_transaction(tx, action))
    if name == "update":
        return frozen(await store.update(key, lambda current: _result(action, (frozen(current),))))
    if name == "increment":
        [by] = arguments
        assert isinstance(by, int)
        return await store.increment(key, by)
    if name == "get_many":
        found = await store.get_many(keys)
        return tuple(frozen(found.get(one)) for one in keys)
    if name == "set_many":
        return await store.set_many(dict(zip(keys, arguments, strict=True)))
    return frozen(await getattr(store, name)(key, *arguments))


def _result(action: Action, values: tuple[Value, ...]) -> Any:
    return MEANINGS[action.name](values, action.arguments)[0]


async def _in_transaction(tx: Transaction, action: Action) -> Any:
    before = tuple([frozen(await tx.get(key)) for key in action.keys])
    result, after = MEANINGS[action.name](before, action.arguments)
    for key, old, new in zip(action.keys, before, after, strict=True):
        if new is None and old is not None:
            await tx.delete(key)
        elif new != old:
            await tx.set(key, new)
    return result
