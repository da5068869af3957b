"""Which commits go into one script, and which cannot go at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from ..driver.commit import Commit, Delete, Outcome, Put
from ..errors import CrossStoreError, InvalidArgumentError, StorageError
from .scripts import SCRIPT_BYTES, SCRIPT_PARTS

#: Redis takes at most 1,048,576 arguments in one command, a write is four of them.
#: https://redis.io/docs/latest/develop/reference/protocol-spec/
MAX_COMMIT_PARTS = 200_000


#: Groups the positions of names by what one command can carry, as a router does.
Split = Callable[[Sequence[str]], list[list[int]]]


def split_into_calls(
    commits: list[Commit],
    outcomes: list[Outcome | Exception | None],
    prefix: str,
    split: Split,
    *,
    slots_move: bool,
) -> list[list[list[int]]]:
    """Return stages of script calls, each as positions of commits; note the outcome of what cannot be sent.

    The calls of a stage go to different slots. Commits of one slot are applied in their order.

    Args:
        commits: what is to be applied.
        outcomes: gets the errors of those that Redis cannot take whole.
        prefix: what stands before each key in Redis.
        split: see `Split`.
        slots_move: whether a slot may be on its way to another server. There, a key that is not found is looked
            for at the other one, so what an earlier commit deletes must not be asked for in the same script.
    """
    positions: list[int] = []
    for i, commit in enumerate(commits):
        obstacle = _obstacle(commit, prefix, split)
        if obstacle is not None or commit.first_key is None:
            outcomes[i] = obstacle or []
        else:
            positions.append(i)
    firsts = [f"{prefix}{commits[i].first_key}" for i in positions]
    slot_groups = [[positions[place] for place in group] for group in split(firsts)]
    chunks = [list(_chunks(commits, group, slots_move)) for group in slot_groups]
    return [[chunk for chunk in stage if chunk] for stage in zip_longest(*chunks)]


def _obstacle(commit: Commit, prefix: str, split: Split) -> StorageError | None:
    """Return the error of a commit that Redis cannot take whole."""
    size = len(commit.expectations) + len(commit.writes)
    if size == 1 or (size == 2 and len(commit.writes) == 1 and commit.expectations[0].key == commit.writes[0].key):
        return None  # one key: most often
    if size > MAX_COMMIT_PARTS:
        return InvalidArgumentError(
            f"A commit on Redis has at most {MAX_COMMIT_PARTS:,} reads and writes, this has {size:,}; split it",
            key=commit.first_key,
        )
    keys = commit.keys
    if len(keys) > 1 and len(split([prefix + key for key in keys])) > 1:
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


def _chunks(commits: list[Commit], positions: list[int], slots_move: bool) -> Iterator[list[int]]:
    """Split into parts that do not keep the server from other work for long; a commit stays whole."""
    chunk: list[int] = []
    parts = size = 0
    gone: set[str] = set()
    for i in positions:
        more = len(commits[i].expectations) + len(commits[i].writes)
        text = sum(len(write.text) for write in commits[i].writes if isinstance(write, Put))
        if chunk and (
            parts + more > SCRIPT_PARTS
            or size + text > SCRIPT_BYTES
            or (gone and not gone.isdisjoint(commits[i].keys))
        ):
            yield chunk
            chunk, parts, size, gone = [], 0, 0, set()
        chunk.append(i)
        parts += more
        size += text
        if slots_move:
            gone.update(write.key for write in commits[i].writes if isinstance(write, Delete))
    if chunk:
        yield chunk
