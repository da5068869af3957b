"""What a process did and was told, written down so that `kill -9` loses none of it.

Each line is stored in a file that is mapped into memory: what has been stored belongs to the system, and the file
does not grow, so that it can be written while the process is told that the disk is full. A line counts when its end
is there.
"""

from __future__ import annotations

import itertools
import json
import mmap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .model import LASTING, Action, Operation, frozen

FILE_BYTES = 8 * 1024 * 1024  #: only what is written takes room


def prepare(path: Path) -> Path:
    """Make the file for a recorder, as large as it will ever be."""
    with path.open("xb") as file:
        file.truncate(FILE_BYTES)
    return path


def has_begun(path: Path) -> bool:
    """Tell whether something has been recorded."""
    with path.open("rb") as file:
        return file.read(1) == b"["


def written(path: Path) -> int:
    """Return how many bytes have been recorded."""
    return len(_text(path))


class Recorder:
    """Writes the lines of one process, from any of its threads.

    Args:
        path: the file, from `prepare`.

    Attributes:
        folder: where the file is.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb+") as file:
            self._memory = mmap.mmap(file.fileno(), FILE_BYTES)
        self.folder = path.parent
        self._position = 0
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.close()

    def begin(self, action: Action) -> int:
        """Note that an action is about to be called, and return its number."""
        number = next(self._numbers)
        self._write("begin", number, *action)
        return number

    def end(self, number: int, outcome: str, told: Any = None) -> None:
        """Note how it ended.

        Args:
            number: what `begin` returned.
            outcome: ``ok``, ``unknown``, ``failed`` (surely without effect) or ``leaked`` (a foreign error).
            told: the result, or what the error said.
        """
        self._write("end", number, outcome, told)

    def _write(self, kind: str, number: int, *rest: Any) -> None:
        line = json.dumps([kind, time.monotonic_ns(), number, *rest]).encode()
        with self._lock:
            end = self._position + len(line)
            self._memory[self._position : end] = line
            self._memory[end : end + 1] = b"\n"  # last, so that a line which was cut short has no end
            self._position = end + 1


@dataclass
class Record:
    """What some processes have written down.

    Attributes:
        operations: the history, without what surely had no effect.
        outcomes: how often each outcome was told; ``open`` are those that nobody was told.
        errors: the errors behind ``failed``, ``unknown`` and ``leaked``, as text.
    """

    operations: list[Operation] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: Path) -> None:
        """Add what a process wrote to this file."""
        begun: dict[int, tuple[int, Action]] = {}
        for kind, at, number, *rest in _lines(path):
            if kind == "begin":
                name, keys, arguments = rest
                begun[number] = (at, Action(name, tuple(keys), frozen(arguments)))
                continue
            start, action = begun.pop(number)
            outcome, told = rest
            self._count(outcome)
            if outcome == "ok":
                self.operations.append(Operation(action, start, at, frozen(told)))
                continue
            self.errors.setdefault(outcome, []).append(f"{action.name}: {told}")
            if outcome != "failed" or action.name in LASTING:
                self.operations.append(Operation(action, start, None, certain=False))
        for start, action in begun.values():
            self._count("open")
            self.operations.append(Operation(action, start, None, certain=False))

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def _text(path: Path) -> bytes:
    """Return what was written, without a look at the megabytes of nothing behind it; JSON has no byte that is 0."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        end = memory.find(b"\0")
        return memory[: len(memory) if end < 0 else end]


def _lines(path: Path) -> Iterator[list[Any]]:
    *whole, _ = _text(path).split(b"\n")
    yield from map(json.loads, whole)
