"""Commands on their way to a server, and which answers mean that they have to go elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from redis.exceptions import ResponseError

from ..driver.failures import LostError
from .connection import Command
from .scripts import COMMITS, COUNT, Call, Script
from .transfer_scripts import STORE

T = TypeVar("T")

__all__ = ["Call", "RoutedCommand", "confirmed", "error_code", "joined", "pieces", "routed_script"]

#: Error codes with which a server says that it executed nothing and that another one, or a later moment, will
#: do. Before Redis 7 a script's error carries the code inside its text.
_ELSEWHERE = re.compile(r"(?:^|-)(READONLY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|LOADING|NOREPLICAS)\b")

#: redis-py turns some codes into classes and strips them from the message.
_CLASSES = {
    "MovedError": "MOVED",
    "AskError": "ASK",
    "TryAgainError": "TRYAGAIN",
    "ReadOnlyError": "READONLY",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
}


class RoutedCommand(NamedTuple):
    """A command and the key that decides where it goes; without one, any server will do.

    Attributes:
        key: see above.
        command: what is sent.
        script: what it names by its hash, if it does: the server may not know it.
        opening: sent before it, on the same connection; what they answer is not looked at. Not on a cluster.
    """

    key: str | None
    command: Command
    script: Script | None = None
    opening: Sequence[Command] = ()

    def with_text(self) -> RoutedCommand:
        """Return the same with the text of its script."""
        assert self.script is not None  # noqa: S101
        return RoutedCommand(self.key, ("EVAL", self.script.text, *self.command[2:]))


def routed_script(script: Script, call: Call) -> RoutedCommand:
    """Return the task that runs a script, by its hash."""
    keys, arguments = call
    return RoutedCommand(
        keys[0] if keys else None, ("EVALSHA", script.sha, str(len(keys)), *keys, *arguments), script
    )


def error_code(answer: Any) -> str | None:
    """Return the code of an answer that says: not executed, but another server or a later moment will do."""
    if not isinstance(answer, ResponseError):
        return None
    known = _CLASSES.get(type(answer).__name__)
    if known is None and (found := _ELSEWHERE.search(str(answer))):
        known = found[1]
    return known


def pieces(script: Script, call: Call) -> list[Call]:
    """Return the call as several, with as few keys each as can be: one commit, or one key, and never the index.

    What was written so is not in the index. A slot that is on its way is not listed by the index, and when it has
    arrived its keys are looked through.
    """
    keys, arguments = call
    if script is STORE:
        held = 2 * (len(keys) - int(arguments[0]))  # what is expected stands behind all that is stored, or nowhere
        return [
            ([key], ("0", arguments[1], *arguments[i : i + 2], *arguments[i + held : i + held + 2]))
            for i, key in zip(range(2, held + 2, 2), keys, strict=False)
        ]
    if script is COUNT:
        return [(keys[:1], arguments)]
    if script is not COMMITS:
        return [([key], arguments) for key in keys]
    found: list[Call] = []
    k, a = 0, 3
    while a < len(arguments):
        expectations, writes = int(arguments[a]), int(arguments[a + 1])
        next_k, next_a = k + expectations + writes, a + 2 + 2 * expectations + 3 * writes
        found.append((keys[k:next_k], ["1", "0", arguments[2], *arguments[a:next_a]]))
        k, a = next_k, next_a
    return found


def joined(answers: Sequence[Any]) -> Any:
    """Return the answers to the pieces of a read, a list each, as one, or the first error."""
    failed = next((answer for answer in answers if isinstance(answer, Exception)), None)
    return failed or list(chain.from_iterable(answers))


def confirmed(answer: Any, replicas: Any, wanted: int) -> Any:
    """Return the answer to a write, or the error that says that ``wanted`` replicas did not confirm it.

    Args:
        answer: that of the write.
        replicas: that of the WAIT behind it.
        wanted: how many must have it.
    """
    if isinstance(replicas, int) and replicas >= wanted:
        return answer
    return LostError(
        f"the master has applied the write, but only {replicas} of {wanted} replicas confirmed it in time, so a "
        "failover may lose it"
    )
