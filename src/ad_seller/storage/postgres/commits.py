"""How commits are packed for the function that applies them, and what its answer means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..driver.commit import Commit, Delete, Expect, Outcome, Put, Refused, Touch, Write
from ..records.markers import KEEP

#: Text of one call; a commit stays whole, even if it has more.
_CALL_BYTES = 16 * 1024 * 1024

#: Deletes of one commit from which on a statement of their own is tried: a third of the server's work.
_MANY = 1_000


class Packed:
    """Commits as the parameters of one call.

    A key that is only ever stored, without a condition, is written while all keys are locked. The others go
    in waves: in a wave all expectations are checked, then all writes applied, each key at most once. A commit
    that touches what an earlier one writes comes in a later wave.

    Args:
        commits: in the order in which they take effect.
    """

    def __init__(self, commits: Sequence[Commit]) -> None:
        """Sort the commits into locks, expectations and writes."""
        self._commits = commits
        self._locks: dict[str, tuple[str | None, int | None]] = {}
        self._checks: list[list[tuple[int, Expect]]] = []
        self._writes: list[list[tuple[int, int, Write]]] = []
        self._last_check: dict[str, int] = {}
        self._last_write: dict[str, int] = {}
        judged = _judged_keys(commits)
        for number, commit in enumerate(commits):
            if judged.isdisjoint(_keys(commit)) and not commit.expectations:
                for write in commit.writes:
                    _, key, text, ms = _written(write)
                    self._locks[key] = (text, ms)
            else:
                keys = {part.key for part in (*commit.expectations, *commit.writes)}
                self._locks |= dict.fromkeys(keys, (None, None))
                self._place(number, commit, keys)

    def _place(self, number: int, commit: Commit, keys: Iterable[str]) -> None:
        wave = max((self._last_write.get(key, 0) for key in keys), default=0) + 1
        wave = max([wave, *(self._last_check.get(write.key, 0) for write in commit.writes)])
        for expect in commit.expectations:
            self._last_check[expect.key] = max(wave, self._last_check.get(expect.key, 0))
            _wave(self._checks, wave).append((number, expect))
        for position, write in enumerate(commit.writes):
            turn = max(wave, self._last_write.get(write.key, 0) + 1)
            self._last_write[write.key] = turn
            _wave(self._writes, turn).append((number, position, write))

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing but storing; `puts` are all the parameters then."""
        return not self._checks and not self._writes

    @property
    def puts(self) -> list[Any]:
        """Keys, texts and milliseconds, these as text, too; a key that is only locked has no text."""
        return [
            list(self._locks),
            [text for text, _ in self._locks.values()],
            [None if ms is None else str(ms) for _, ms in self._locks.values()],
        ]

    @property
    def arguments(self) -> list[Any]:
        """The parameters of the call."""
        waves = max(len(self._checks), len(self._writes))
        checks = [row for wave in self._checks for row in wave]
        writes = [(number, *_written(write)) for wave in self._writes for number, _, write in wave]
        *columns, times = _columns(writes, 5)
        return [
            *self.puts,
            _ends(self._checks, waves),
            [number for number, _ in checks],
            [expect.key for _, expect in checks],
            [None if expect.text is None else expect.text.decode() for _, expect in checks],
            _ends(self._writes, waves),
            *columns,
            [None if ms is None else str(ms) for ms in times],
        ]

    def outcomes(self, unmet: Sequence[int], hits: Sequence[int]) -> list[Outcome]:
        """Return the outcome of each commit.

        Args:
            unmet: the places, from 1, of the expectations that do not hold.
            hits: the places, from 1, of the deletes and touches that had something to apply to.
        """
        checks = [row for wave in self._checks for row in wave]
        writes = [row for wave in self._writes for row in wave]
        outcomes: list[Outcome] = [[isinstance(w, Put) for w in commit.writes] for commit in self._commits]
        for place in hits:
            number, position, _ = writes[place - 1]
            flags = outcomes[number]
            if not isinstance(flags, Refused):
                flags[position] = True
        for place in sorted(unmet, reverse=True):  # the first one of a commit comes last, and stays
            number, expect = checks[place - 1]
            outcomes[number] = Refused(expect.key)
        return outcomes


def lone_put(commit: Commit) -> Put | None:
    """Return what is stored, if that is all there is to do, once and without a condition."""
    expectations, writes = commit
    if expectations or len(writes) != 1 or type(writes[0]) is not Put or writes[0].ttl_ms is KEEP:
        return None
    return writes[0]


def many_deletes(commit: Commit) -> list[str] | None:
    """Return the keys, if all there is to do is to remove so many entries that packing them takes long."""
    expectations, writes = commit
    if expectations or len(writes) < _MANY or not all(type(write) is Delete for write in writes):
        return None
    keys = [write.key for write in writes]
    return keys if len(set(keys)) == len(keys) else None


def loads(commits: Sequence[Commit]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of parts whose texts fit into one call."""
    if len(commits) == 1:
        yield 0, 1
        return
    start = size = 0
    for position, commit in enumerate(commits):
        more = text_bytes(commit)
        if position > start and size + more > _CALL_BYTES:
            yield start, position
            start, size = position, 0
        size += more
    yield start, len(commits)


def text_bytes(commit: Commit) -> int:
    """Return how long the texts of a commit are."""
    size = 0
    for write in commit.writes:
        if type(write) is Put:
            size += len(write.text)
    for _, text in commit.expectations:
        if text is not None:
            size += len(text)
    return size


def _judged_keys(commits: Sequence[Commit]) -> set[str]:
    """Return the keys of all commits that do more than store, and of those that store under the same keys."""
    judged: set[str] = set()
    plain: list[Commit] = []
    for commit in commits:
        if commit.expectations or not all(type(w) is Put and w.ttl_ms is not KEEP for w in commit.writes):
            judged.update(commit.keys)
        else:
            plain.append(commit)
    while judged and (touched := [commit for commit in plain if not judged.isdisjoint(_keys(commit))]):
        judged.update(key for commit in touched for key in _keys(commit))
        plain = [commit for commit in plain if judged.isdisjoint(_keys(commit))]
    return judged


def _keys(commit: Commit) -> Iterator[str]:
    return (write.key for write in commit.writes)


def _wave(waves: list[list[Any]], number: int) -> list[Any]:
    while len(waves) < number:
        waves.append([])
    return waves[number - 1]


def _ends(waves: list[list[Any]], count: int) -> list[int]:
    """Return how many rows there are up to the end of each wave."""
    ends = []
    end = 0
    for number in range(count):
        end += len(waves[number]) if number < len(waves) else 0
        ends.append(end)
    return ends


def _written(write: Write) -> tuple[str, str, str | None, int | None]:
    """Return what the function is told: the operation, the key, the text, and the milliseconds."""
    match write:
        case Put(key, text, ttl_ms):
            return ("k", key, text.decode(), None) if ttl_ms is KEEP else ("p", key, text.decode(), ttl_ms)
        case Touch(key, ttl_ms):
            return "t", key, None, ttl_ms
        case Delete(key):
            return "d", key, None, None


def _columns(rows: list[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]
