"""A progress bar with rate and time left, where somebody is there to see it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from ad_seller.storage import StorageError

from .output import Output


def is_watched() -> bool:
    """Tell whether standard error is a terminal."""
    return sys.stderr.isatty()


class Advance:
    """Tells a bar how much is done; without a bar it tells nobody.

    Args:
        bar: the bar.
        task: what is shown on it.

    Attributes:
        done: how much is done.
    """

    def __init__(self, bar: Progress | None = None, task: TaskID | None = None) -> None:
        """Keep both."""
        self._bar = bar
        self._task = task
        self.done = 0

    def __call__(self, done: int) -> None:
        """Show that so much is done."""
        self.done = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)

    def of(self, done: int, total: int) -> None:
        """Show that so much of so much is done."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)


@contextmanager
def going_on(out: Output, advance: Advance, how: str) -> Iterator[None]:
    """Say how to go on after an interruption, or a failure if something was done before it."""
    try:
        yield
    except (StorageError, asyncio.CancelledError) as error:
        if advance.done or isinstance(error, asyncio.CancelledError):
            out.note(how)
        raise


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Advance]:
    """Yield what is told how many entries are done; that is shown on a terminal only.

    Args:
        what: what is done.
        total: how many there are; None if that is not known.
    """
    if not is_watched():
        yield Advance()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), _Counted(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Advance(bar, bar.add_task(what, total=total))


class _Counted(ProgressColumn):
    def render(self, task: Task) -> Text:
        of = "" if task.total is None else f" of {task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{of}")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")
