"""Reading an export line by line, whatever has become of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from ..driver.transfer import PAGE_BYTES, PAGE_ENTRIES, StoredEntry
from ..errors import DamagedExportError
from .exports import MAX_LINE, Footer, Header, parse_header, parse_line

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GZIP: Final = b"\x1f\x8b"
_BUFFER: Final = 256 * 1024


class BadLine(NamedTuple):
    """A line of an export that cannot be used.

    Attributes:
        number: of the line, from 1.
        reason: why not.
    """

    number: int
    reason: str


@dataclass(slots=True)
class Lines:
    """Some lines of an export: entries with the numbers of their lines, and lines that are none."""

    entries: list[StoredEntry] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)

    def before_bad(self) -> Lines:
        """Return the entries before the first bad line, with the bad lines."""
        first = self.bad[0].number if self.bad else None
        many = len(self.numbers) if first is None else sum(number < first for number in self.numbers)
        return Lines(self.entries[:many], self.numbers[:many], self.bad)


def damaged(line: BadLine, stored: int = 0) -> DamagedExportError:
    """Return the error for a bad line that ends an import, before which so many entries were stored."""
    so_far = f" {stored:,} entries before it were stored: to import again, say what wins." if stored else ""
    return DamagedExportError(
        f"Line {line.number}: {line.reason}. The export was cut off or changed since it was written: make it anew, "
        f"or have such lines left out.{so_far}"
    )


class ExportReader:
    """The lines of an export; used by one thread at a time.

    Args:
        stream: compressed by gzip or not; it is not closed.

    Attributes:
        number: of the last line that was read.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Read nothing yet."""
        self.number = 0
        self._stream = stream
        self._lines: io.BufferedIOBase
        self._digest = hashlib.sha256()
        self._count = 0
        self._footer: int | None = None
        self._has_ended = False

    def open(self) -> Header:
        """Return the first line.

        Raises:
            DamagedExportError: it is no export that this package knows.
        """
        head = self._stream.read(2)
        lines = io.BufferedReader(_Rejoined(head, self._stream), _BUFFER)
        self._lines = gzip.GzipFile(fileobj=lines) if head == _GZIP else lines
        line = self._next()
        if isinstance(line, BadLine):
            raise damaged(line)
        if not line:
            raise DamagedExportError("This is no export of ad-seller-storage: it is empty")
        header = parse_header(line)
        self._digest.update(line)
        return header

    def page(self) -> Lines | None:
        """Return the next lines, None after the last one."""
        if self._has_ended:
            return None
        found, size = Lines(), 0
        while size < PAGE_BYTES and len(found.entries) < PAGE_ENTRIES and not self._has_ended:
            line = self._next()
            if isinstance(line, BadLine):
                found.bad.append(line)
            elif line:
                size += len(line)
                self._take(line, found)
            else:
                self._end(found)
        return found

    def _next(self) -> bytes | BadLine:
        """Return the next line, with its end; nothing at the end of the file."""
        self.number += 1
        try:
            line = self._lines.readline(MAX_LINE + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self._has_ended = True
            return BadLine(self.number, f"it cannot be unpacked ({error})")
        if len(line) > MAX_LINE:
            return BadLine(self.number, f"it has more than {MAX_LINE:,} bytes")
        return line

    def _take(self, line: bytes, found: Lines) -> None:
        if self._footer is not None:
            found.bad.append(BadLine(self.number, f"line {self._footer} says that it is the last one"))
            return
        try:
            parsed = parse_line(line)
        except ValueError as error:
            found.bad.append(BadLine(self.number, str(error)))
        else:
            if isinstance(parsed, Footer):
                self._footer = self.number
                self._compare(parsed, found)
                return
            found.entries.append(parsed)
            found.numbers.append(self.number)
        self._count += 1
        self._digest.update(line)

    def _compare(self, footer: Footer, found: Lines) -> None:
        if footer.digest != f"sha256:{self._digest.hexdigest()}":
            reason = f"the lines before it are not those that were written ({footer.count:,} entries)"
            found.bad.append(BadLine(self.number, reason))
        elif footer.count != self._count:
            found.bad.append(BadLine(self.number, f"{self._count:,} entries came, {footer.count:,} were written"))

    def _end(self, found: Lines) -> None:
        self._has_ended = True
        if self._footer is None:
            found.bad.append(BadLine(self.number, f"the end is missing, after {self._count:,} entries"))


class _Rejoined(io.RawIOBase):
    """A stream with its first bytes put back; closing it leaves the stream open."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._read = getattr(stream, "read1", stream.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data, self._head = self._head or self._read(len(view)), b""
        view[: len(data)] = data
        return len(data)
