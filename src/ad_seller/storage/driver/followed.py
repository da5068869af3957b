"""Which keys others wait for: entries of logs, messages of outboxes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .commit import Commit, Put

LOG_PREFIX: Final = "log:"  #: with what the keys of a log's entries begin; its name, ``:`` and the id follow
OUTBOX_PREFIX: Final = "outbox:"  #: likewise with those of an outbox's messages

_FOLLOWED: Final = (LOG_PREFIX, OUTBOX_PREFIX)


def stored_keys(commit: Commit) -> list[str]:
    """Return the keys under which a commit stores something."""
    return [write.key for write in commit.writes if type(write) is Put]


def followed_prefixes(commits: Iterable[Commit]) -> set[str]:
    """Return what the keys of the logs and outboxes begin with that the commits add to."""
    found: set[str] = set()
    for commit in commits:
        for write in commit.writes:
            key = write.key
            if key.startswith(_FOLLOWED) and type(write) is Put:
                found.add(key[: key.find(":", key.find(":") + 1) + 1])
    found.discard("")  # a key of somebody else's that has no second part
    return found
