"""Requests that wait for each other: noticed before they would wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

Run = asyncio.Future[None]  #: of one request; it ends with its run


class Waits:
    """Which runs of one event loop wait for which others."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._targets: dict[Run, list[Run]] = {}

    def __bool__(self) -> bool:
        """Tell whether anybody waits."""
        return bool(self._targets)

    def would_never_end(self, waiting: Sequence[Run], target: Run) -> bool:
        """Tell whether ``target`` is one of the runs that would wait for it, or waits for one of them."""
        reached: list[Run] = [target]
        for run in reached:
            reached += [further for further in self._targets.get(run, ()) if further not in reached]
        return any(run in waiting for run in reached)

    @contextmanager
    def noted(self, waiting: Sequence[Run], target: Run) -> Iterator[None]:
        """Let others know, while the block runs, that all of ``waiting`` wait for ``target``."""
        for run in waiting:
            self._targets.setdefault(run, []).append(target)
        try:
            yield
        finally:
            for run in waiting:
                self._targets[run].remove(target)
                if not self._targets[run]:
                    del self._targets[run]
