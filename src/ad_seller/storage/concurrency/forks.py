"""What a forked child must do before it touches what it got from its parent.

A fork copies objects, not threads: a lock that another thread held stays locked in the child for ever, and sockets,
files and event loops are the parent's. https://docs.python.org/3/library/os.html#os.register_at_fork
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that a child must not use as it finds it."""

    def forked(self) -> None:
        """Let go of what is the parent's; called in the child, before anything else runs there."""


_forkable: weakref.WeakSet[Forkable] = weakref.WeakSet()
_locks: weakref.WeakSet[threading.Lock] = weakref.WeakSet()
_registry = threading.RLock()  # for the sets above: another thread may add to them while this one forks
_kept: list[object] = []
_held: list[threading.Lock] = []


def tell_of_forks(one: Forkable) -> None:
    """Have ``one.forked()`` called in each forked child, for as long as ``one`` lives."""
    with _registry:
        _forkable.add(one)


def keep_for_parent(thing: object) -> None:
    """Keep ``thing`` for as long as this child runs: to collect it as garbage would disturb the parent."""
    _kept.append(thing)


def fork_safe_lock() -> threading.Lock:
    """Return a lock for short sections without await, during which no other thread forks.

    So what it protects is whole in the child, and the lock is free there. Such locks are not nested. It is a plain
    lock, because an interrupt never comes between a ``with`` and a lock written in C, which would stay locked.
    """
    lock = threading.Lock()
    with _registry:
        _locks.add(lock)
    return lock


def _before() -> None:
    _registry.acquire()
    for lock in list(_locks):
        lock.acquire()
        _held.append(lock)


def _after() -> None:
    while _held:
        _held.pop().release()
    _registry.release()


def _in_child() -> None:
    _after()
    for one in list(_forkable):
        one.forked()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
