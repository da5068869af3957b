"""Which commits go into one script, and which cannot go at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from ..driver.commit import Commit, Outcome, Put
from ..errors import CrossStoreError, InvalidArgumentError, StorageError
from .scripts import SCRIPT_BYTES, SCRIPT_PARTS

#: Redis takes at most 1,048,576 arguments in one command, a write is four of them.
#: https://redis.io/docs/latest/develop/reference/protocol-spec/
MAX_COMMIT_PARTS = 200_000


class Plan:
    """Orders commits into script calls.

    Args:
        prefix: what stands before each key in Redis.
        split: groups the positions of names by slot, as a router does.
    """

    def __init__(self, prefix: str, split: Callable[[Sequence[str]], list[list[int]]]) -> None:
        """Keep both."""
        self._prefix = prefix
        self._split = split

    def rounds(self, commits: list[Commit], outcomes: list[Outcome | Exception | None]) -> list[list[list[int]]]:
        """Return rounds of script calls, as positions of commits; note the outcome of what cannot be sent.

        The calls of a round go to different slots. Commits of one slot are applied in their order.
        """
        positions: list[int] = []
        for i, commit in enumerate(commits):
            obstacle = self._obstacle(commit)
            if obstacle is not None or commit.first_key is None:
                outcomes[i] = obstacle or []
            else:
                positions.append(i)
        firsts = [f"{self._prefix}{commits[i].first_key}" for i in positions]
        groups = [[positions[place] for place in group] for group in self._split(firsts)]
        loads = [list(_script_loads(commits, group)) for group in groups]
        return [[load for load in turn if load] for turn in zip_longest(*loads)]

    def _obstacle(self, commit: Commit) -> StorageError | None:
        """Return the error of a commit that Redis cannot take whole."""
        size = len(commit.expectations) + len(commit.writes)
        if size == 1:
            return None
        if size > MAX_COMMIT_PARTS:
            return InvalidArgumentError(
                f"A commit on Redis has at most {MAX_COMMIT_PARTS:,} reads and writes, this has {size:,}; split it",
                key=commit.first_key,
            )
        keys = commit.keys
        if len(keys) > 1 and len(self._split([self._prefix + key for key in keys])) > 1:
            return CrossStoreError(
                f"The keys {keys[0]!r} and {keys[-1]!r} of one commit lie in different slots of the cluster. "
                "A key_prefix in braces, e.g. key_prefix='{tenant}:', puts all entries of a tenant into one slot; "
                "then they can be committed together.",
                key=commit.first_key,
            )
        return None


def spread(size: int, groups: list[list[int]], answers: list[Any]) -> list[Any]:
    """Put the answers for groups of keys into the order of the keys; an error stands for each of its group."""
    found: list[Any] = [None] * size
    for group, answer in zip(groups, answers, strict=True):
        items = [answer] * len(group) if isinstance(answer, Exception) else answer
        for i, item in zip(group, items, strict=True):
            found[i] = item
    return found


def _script_loads(commits: list[Commit], positions: list[int]) -> Iterator[list[int]]:
    """Split into parts that do not keep the server from other work for long; a commit stays whole."""
    part: list[int] = []
    parts = size = 0
    for i in positions:
        more = len(commits[i].expectations) + len(commits[i].writes)
        text = sum(len(write.text) for write in commits[i].writes if isinstance(write, Put))
        if part and (parts + more > SCRIPT_PARTS or size + text > SCRIPT_BYTES):
            yield part
            part, parts, size = [], 0, 0
        part.append(i)
        parts += more
        size += text
    if part:
        yield part
