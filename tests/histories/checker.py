"""Is a recorded history linearizable? A search for an order of its operations that explains every answer.

After Wing and Gong, "Testing and verifying concurrent objects" (1993), in the just-in-time form of Lowe, "Testing
for linearizability" (2017): the history is read in the order of time, with the set of all configurations that
explain it so far. An operation is put in its place at the latest when it returns, with whatever must have happened
before it. Keys that no operation joins are checked apart.

Operations whose outcome is unknown may take effect once, at any time after their start, or never. Of two
configurations that differ only in which of those they have used, the one that used fewer can do whatever the other
can; only that one is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .model import BLIND, MEANINGS, Action, Operation, Value, Values
from .simplify import groups_of, simplified

MOST_STEPS = 20_000_000  #: how far a search may go for each group of keys before it is given up

#: A fail-over of a Redis group: unconfirmed writes may be undone, the last ones first. It has no keys of its own.
ROLLBACK = Action("rollback", ())


class UndecidedError(Exception):
    """The search was given up; the history may be good or not."""


class Violation(NamedTuple):
    """An answer that no order explains.

    Attributes:
        operation: whose answer it is.
        keys: the keys that belong together.
        states: what these keys could hold at that moment.
        before: the operations that were under way, or had ended last.
    """

    operation: Operation
    keys: tuple[str, ...]
    states: list[Values]
    before: list[Operation]

    def __str__(self) -> str:
        """Explain it in some lines."""
        states = " or ".join(map(str, self.states[:5])) + (" ..." if len(self.states) > 5 else "")
        lines = [
            f"no order explains {self.operation}",
            f"{self.keys} held {states}",
            "under way or shortly before:",
        ]
        return "\n    ".join([*lines, *map(str, self.before)])


class Configuration(NamedTuple):
    """One way to explain what has been seen.

    Attributes:
        state: what the keys hold.
        done: the operations under way that have taken effect, as bits.
        base: what a rollback that is still to come will lead back to; None if nothing will be undone. What has
            happened since is uncertain.
        used: the uncertain operations that have taken effect, as bits.
    """

    state: Values
    done: int
    base: Values | None
    used: int


class Configurations:
    """Configurations without those that another one makes superfluous."""

    def __init__(self, some: Iterable[Configuration] = ()) -> None:
        self._used: dict[tuple[Values, int, Values | None], list[int]] = {}
        for one in some:
            self.add(one)

    def __iter__(self) -> Iterator[Configuration]:
        for (state, done, base), alternatives in self._used.items():
            for used in alternatives:
                yield Configuration(state, done, base, used)

    def __bool__(self) -> bool:
        return bool(self._used)

    def add(self, one: Configuration) -> bool:
        """Add it, and tell whether that made a difference."""
        known = self._used.setdefault(one[:3], [])
        if any(used & one.used == used for used in known):
            return False
        known[:] = [used for used in known if used & one.used != one.used]
        known.append(one.used)
        return True


@dataclass(slots=True)
class _Placed:
    """An operation.

    Attributes:
        operation: as it was recorded.
        action: what of it matters.
        places: where its keys stand in the state.
        twin: the uncertain operation before it that has the same action.
    """

    operation: Operation
    action: Action
    places: tuple[int, ...]
    twin: int | None


def check(history: Iterable[Operation]) -> list[Violation]:
    """Return the first violation in each group of keys; none if the history is linearizable.

    Args:
        history: in any order. One with the action `ROLLBACK` and ``certain=False`` says when writes that were
            never confirmed may have been undone.

    Raises:
        UndecidedError: the search became too large.
    """
    operations = list(history)
    rollbacks = [one for one in operations if one.action is ROLLBACK]
    found = []
    for keys, group in groups_of(one for one in operations if one.action is not ROLLBACK):
        pairs = simplified(group) + [(one, ROLLBACK) for one in rollbacks]
        violation = _Search(keys, pairs).first_violation()
        found += [] if violation is None else [violation]
    return found


class _Search:
    """The search for one group of keys."""

    def __init__(self, keys: tuple[str, ...], operations: list[tuple[Operation, Action]]) -> None:
        operations = sorted(operations, key=lambda each: each[0].start)
        self._keys = keys
        self._rollbacks = sum(1 << number for number, (_, action) in enumerate(operations) if action is ROLLBACK)
        self._open: set[int] = set()
        self._steps = 0
        self._placed: list[_Placed] = []
        latest: dict[Action, int] = {}
        for number, (one, action) in enumerate(operations):
            endless = not one.certain and one.end is None
            twin = latest.get(action) if endless else None
            self._placed.append(_Placed(one, action, tuple(map(keys.index, one.action.keys)), twin))
            if endless:
                latest[action] = number

    def first_violation(self) -> Violation | None:
        """Read the history, and return the first answer that cannot be explained."""
        absent: tuple[Value, ...] = (None,) * len(self._keys)
        possible = Configurations([Configuration(absent, 0, None, 0)])
        for _, ends, number in sorted(self._events()):
            one = self._placed[number].operation
            if not ends:
                self._open.add(number)
                possible = Configurations(self._with_idle(each, (number,)) for each in possible)
            elif one.certain:
                before, possible = possible, self._returned(possible, number)
                if not possible:
                    return self._violation(number, before)
                self._open.discard(number)
            else:
                self._open.discard(number)
        return None

    def _events(self) -> Iterator[tuple[int, bool, int]]:
        """Yield the starts and ends; of the same moment the starts come first, because they may overlap."""
        for number, placed in enumerate(self._placed):
            yield placed.operation.start, False, number
            if placed.operation.end is not None:
                yield placed.operation.end, True, number

    def _returned(self, possible: Configurations, number: int) -> Configurations:
        """Return the configurations in which this operation has taken effect, and forget that it was open."""
        bit = 1 << number
        accepted = Configurations()
        seen = Configurations()
        queue = deque(possible)
        while queue:
            one = queue.popleft()
            if one.done & bit:
                accepted.add(one._replace(done=one.done & ~bit))
                continue
            queue.extend(after for after in self._steps_from(one) if seen.add(after))
        return accepted

    def _steps_from(self, one: Configuration) -> Iterator[Configuration]:
        for number in self._open:
            if not (one.done | one.used) >> number & 1:
                self._steps += 1
                if self._steps > MOST_STEPS:
                    raise UndecidedError(f"given up after {MOST_STEPS:,} steps, keys {self._keys}")
                for after in self._step(one, number):
                    yield self._with_idle(after, self._open)

    def _step(self, one: Configuration, number: int) -> Iterator[Configuration]:
        """Let an operation take effect, if it can."""
        placed = self._placed[number]
        if placed.action is ROLLBACK:
            if one.base is not None:
                yield Configuration(one.base, one.done, None, one.used | 1 << number)
            return
        if placed.twin is not None and not one.used >> placed.twin & 1:
            return  # its twin, which began earlier, can do all that it can
        result, state = self._applied(one.state, placed)
        if placed.operation.certain:
            if result == placed.operation.result and one.base is None:
                yield one._replace(state=state, done=one.done | 1 << number)
        elif state != one.state:
            after = one._replace(state=state, used=one.used | 1 << number)
            yield after
            if one.base is None and self._rollbacks & ~one.used:
                yield after._replace(base=one.state)

    def _with_idle(self, one: Configuration, numbers: Iterable[int]) -> Configuration:
        """Let everything take effect whose answer fits and that changes nothing: later would be no better.

        But for blind writes, whose answer is always the same: later they might change something.
        """
        done = one.done
        for number in numbers:
            placed = self._placed[number]
            if placed.operation.certain and placed.action.name not in BLIND and not done >> number & 1:
                result, state = self._applied(one.state, placed)
                if state == one.state and result == placed.operation.result:
                    done |= 1 << number
        return one if done == one.done else one._replace(done=done)

    def _applied(self, state: Values, placed: _Placed) -> tuple[object, Values]:
        places = placed.places
        name, _, arguments = placed.action
        result, new = MEANINGS[name](tuple([state[place] for place in places]), arguments)
        changed = list(state)
        for place, value in zip(places, new, strict=True):
            changed[place] = value
        return result, tuple(changed)

    def _violation(self, number: int, before: Configurations) -> Violation:
        culprit = self._placed[number].operation
        ended = [
            placed.operation
            for placed in self._placed
            if placed.operation.end is not None and placed.operation.end < culprit.start
        ]
        ended.sort(key=lambda one: one.end or 0)
        under_way = [self._placed[other].operation for other in sorted(self._open) if other != number]
        states = sorted({one.state for one in before}, key=str)
        return Violation(culprit, self._keys, states, ended[-8:] + under_way[-12:])
