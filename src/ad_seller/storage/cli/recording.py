"""Reading a recording: JSON lines, plain or compressed with gzip, one storage operation each.

A line has ``op`` (get, set, delete, keys), ``key`` or, for keys, ``pattern``, for set ``value`` and perhaps ``ttl``
(seconds), and what the recording saw: ``hit`` (get and delete: there was an entry) or ``found`` (keys: how many).
Other fields, such as the time ``t``, are not looked at.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

from ad_seller.storage import InvalidArgumentError, check_key, check_ttl, compile_glob, encode

from .running import CommandError, interruptible

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_LINE = 80 * 2**20  # the largest value that a store takes, and room for the rest
_HINT = "Nothing was written. Record the file again, or take the line out."


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of a recording.

    Attributes:
        line: its number, from 1.
        kind: get, set, delete or keys.
        key: the key; the pattern of keys.
        value: what set stores.
        ttl: seconds; None for no expiry.
        expected: what the recording saw; None if it does not say.
    """

    line: int
    kind: str
    key: str
    value: Any = None
    ttl: float | None = None
    expected: bool | int | None = None


class Recording:
    """A recording that can be read several times, a line at a time."""

    def __init__(self, raw: BinaryIO) -> None:
        """Take a seekable file."""
        self._raw = raw

    def operations(self) -> Iterator[Operation]:
        """Yield the operations from the start.

        Raises:
            CommandError: a line is no operation, or the file is damaged; names the line.
        """
        number = 0
        try:
            for number, line in enumerate(self._lines(), start=1):
                if line.strip():
                    yield _parse(number, line)
        except (EOFError, OSError, zlib.error) as error:
            raise _bad(number + 1, f"the file is damaged or cut off ({error})") from error

    def _lines(self) -> Iterator[bytes]:
        self._raw.seek(0)
        compressed = self._raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        self._raw.seek(0)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=self._raw)) if compressed else self._raw
        while line := stream.readline(_MAX_LINE):
            yield line


@contextmanager
def open_recording(file: str) -> Iterator[Recording]:
    """Open a file, or standard input for ``-``; what cannot be read twice is first copied to a temporary file.

    Raises:
        CommandError: it cannot be opened.
    """
    with _source(file) as source, TemporaryFile() as copy:
        if source.seekable():
            yield Recording(source)
        else:
            with interruptible():
                shutil.copyfileobj(source, copy)
            yield Recording(cast(BinaryIO, copy))


def _source(file: str) -> BinaryIO:
    try:
        return sys.stdin.buffer if file == "-" else Path(file).open("rb")
    except OSError as error:
        raise CommandError(
            f"Cannot read the recording {file!r}: {error.strerror}", hint="Name a file, or - for standard input."
        ) from error


def _parse(number: int, line: bytes) -> Operation:
    try:
        return _operation(number, json.loads(line))
    except (ValueError, RecursionError) as error:  # also what our own checks raise
        reason = str(error) if isinstance(error, InvalidArgumentError | _LineError) else f"not JSON ({error})"
        raise _bad(number, reason) from error


def _operation(number: int, record: Any) -> Operation:
    """Return the checked operation."""
    _check(isinstance(record, dict), "not a JSON object")
    kind = record.get("op")
    _check(
        kind in ("get", "set", "delete", "keys"), f"unknown op {kind!r:.60}; get, set, delete and keys are known"
    )
    field = "pattern" if kind == "keys" else "key"
    _check(field in record, f"{kind} without {field}")
    name = record[field]
    compile_glob(name) if kind == "keys" else check_key(name)
    if kind == "set":
        _check("value" in record, "set without value")
        encode(record["value"], key=name)
        check_ttl(record.get("ttl"), key=name)
    return Operation(number, kind, name, record.get("value"), record.get("ttl"), _expected(kind, record))


def _expected(kind: str, record: dict[str, Any]) -> bool | int | None:
    """Return what the recording saw, if it is of the right type."""
    if kind == "keys":
        found = record.get("found")
        _check(found is None or type(found) is int, f"found must be a whole number, not {found!r:.60}")
        return found
    hit = record.get("hit") if kind != "set" else None
    _check(hit is None or type(hit) is bool, f"hit must be true or false, not {hit!r:.60}")
    return hit


class _LineError(ValueError):
    """What is wrong with a line."""


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise _LineError(message)


def _bad(number: int, reason: str) -> CommandError:
    return CommandError(f"Line {number} of the recording: {reason}", hint=_HINT)
