"""Which keys others wait for: entries of logs, messages of outboxes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ..records.namespaces import MARK, local_key
from .commit import Commit, Put

LOG_PREFIX: Final = "log:"  #: with what the keys of a log's entries begin; its name, ``:`` and the id follow
OUTBOX_PREFIX: Final = "outbox:"  #: likewise with those of an outbox's messages

_MARKS: Final = (LOG_PREFIX, OUTBOX_PREFIX, MARK)  #: with what their keys begin, in a namespace too
_NAME: Final = re.compile(f"(?:{LOG_PREFIX}|{OUTBOX_PREFIX})[^:]*:")


def stored_keys(commit: Commit) -> list[str]:
    """Return the keys under which a commit stores something."""
    return [write.key for write in commit.writes if type(write) is Put]


def followed_prefixes(commits: Iterable[Commit]) -> set[str]:
    """Return what the keys of the logs and outboxes begin with that the commits add to."""
    found: set[str] = set()
    for commit in commits:
        for write in commit.writes:
            key = write.key
            if key.startswith(_MARKS) and type(write) is Put and (name := _NAME.match(local_key(key))):
                found.add(key[: len(key) - len(name.string) + name.end()])
    return found
