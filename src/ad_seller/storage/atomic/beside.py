"""Writes that go past an open transaction: told once for each line, because ``tx`` was meant most often.

`storage.set_deal(…)` in the function given to `transact` or `run_once` takes effect at once, also if that function
raises afterwards, and once more each time that a conflict makes it run again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

from .committer import Committer

log = logging.getLogger("ad_seller.storage")

_PACKAGE = str(Path(__file__).parents[1])
_TOLD_LINES = 1000  #: so many lines are remembered at most
_told: set[tuple[str, int]] = set()


class Entered(Protocol):
    """What is looked at of a transaction: its store, and its task until it ends."""

    _store: Committer
    _task: asyncio.Task[Any] | None


#: The transactions that were entered in this context; those that have ended are told by themselves.
_entered: ContextVar[tuple[Entered, ...]] = ContextVar("ad_seller_storage_transactions", default=())


def entered(transaction: Entered) -> None:
    """Remember that the running task is in ``transaction`` from now on."""
    _entered.set((*_open(), transaction))


def left() -> None:
    """Forget the transactions that have ended."""
    _entered.set(_open())


def is_inside(store: object, task: asyncio.Task[Any] | None) -> bool:
    """Tell whether the running ``task`` is in a transaction of ``store``."""
    return any(one._task is task and one._store is store for one in _entered.get())


def warn_if_inside(store: object) -> None:
    """Log the caller's line if the running task is in a transaction of ``store``, which this write goes past."""
    transactions = _entered.get()
    if not transactions:
        return
    task = asyncio.current_task()
    if any(one._task is task and store in one._store._atomic_parts() for one in transactions):
        _tell()


def _open() -> tuple[Entered, ...]:
    return tuple([one for one in _entered.get() if one._task is not None])


def _tell() -> None:
    line = _line_of_caller()
    if line not in _told and len(_told) < _TOLD_LINES:
        _told.add(line)
        log.warning(
            "%s:%d writes on the storage itself while its task is in a transaction of it: that takes effect at "
            "once, whatever becomes of the transaction. Was 'tx' meant? This is said once for each line.",
            *line,
        )


def _line_of_caller() -> tuple[str, int]:
    """Return the file and line of the innermost frame that is not ours."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
