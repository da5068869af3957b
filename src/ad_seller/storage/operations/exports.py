"""The form of an export: JSON lines that programs of any kind can read.

The first line says what it is, the last one how many entries there are and the SHA-256 of all lines before it. Each
line between is an entry: ``key``, ``value``, and ``expires_at`` in seconds since the epoch, to the millisecond.
"""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec

from ..driver.transfer import StoredEntry
from ..errors import DamagedExportError, StorageError, redact, shown
from ..records.codec import DEFAULT_MAX_VALUE_BYTES, decode
from ..records.expiry import MAX_TTL_MS
from ..records.keys import check_key

FORMAT: Final = "ad-seller-storage export"
VERSION: Final = 1

#: The longest line: the largest value, with room for its key.
MAX_LINE: Final = 2 * DEFAULT_MAX_VALUE_BYTES

_encode = msgspec.json.Encoder().encode
_LINE_ENDS: Final = re.compile(rb"[\r\n]")


class Header(msgspec.Struct, forbid_unknown_fields=False):
    """The first line.

    Attributes:
        format: `FORMAT`.
        version: of the format.
        source: the store, without its password.
        prefix: what all keys begin with.
        at: when it was begun, in seconds since the epoch.
    """

    format: str
    version: int
    source: str = ""
    prefix: str = ""
    at: float = 0.0


class Footer(msgspec.Struct, forbid_unknown_fields=True):
    """The last line.

    Attributes:
        count: how many entries there are.
        digest: ``sha256:`` and the SHA-256 of all lines before it, line ends included, in hexadecimal digits.
    """

    count: int
    digest: str


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    value: msgspec.Raw
    expires_at: float | None = None


_header = msgspec.json.Decoder(Header).decode
_line = msgspec.json.Decoder(_Line).decode
_footer = msgspec.json.Decoder(Footer).decode


def header_line(source: str, prefix: str, at: float) -> bytes:
    """Return the first line."""
    return _encode(Header(FORMAT, VERSION, redact(source), prefix, round(at, 3))) + b"\n"


def footer_line(count: int, digest: str) -> bytes:
    """Return the last line."""
    return _encode(Footer(count, f"sha256:{digest}")) + b"\n"


def entry_line(entry: StoredEntry) -> bytes:
    """Return the line of an entry, with the value's text as it is stored.

    Raises:
        CorruptValueError: the text is no JSON.
    """
    key, text, deadline = entry
    decode(text, key=key)
    if b"\n" in text or b"\r" in text:  # only between the parts of a value; within a string JSON has them escaped
        text = _LINE_ENDS.sub(b" ", text)
    until = b"null" if deadline is None else b"%d.%03d" % divmod(deadline, 1000)
    return b'{"key":%b,"value":%b,"expires_at":%b}\n' % (_encode(key), text, until)


def parse_header(line: bytes) -> Header:
    """Return the first line.

    Raises:
        DamagedExportError: it is none, or that of a newer format.
    """
    try:
        header = _header(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise DamagedExportError(
            f"This is no export of ad-seller-storage: the first line is {shown(line)} ({error})"
        ) from error
    if header.format != FORMAT:
        raise DamagedExportError(f"This is no export of ad-seller-storage, but {shown(header.format)}")
    if not 1 <= header.version <= VERSION:
        raise DamagedExportError(
            f"The export has version {header.version} of the format, this package knows up to {VERSION}: a newer "
            "ad-seller-storage has made it. Upgrade this one (pip install -U ad-seller-storage)."
        )
    return header


def parse_line(line: bytes) -> StoredEntry | Footer:
    """Return the entry of a line, or what the last line says.

    Raises:
        ValueError: it is neither; says why.
    """
    try:
        parsed = _line(line)
        key, text = check_key(parsed.key), bytes(parsed.value)
        decode(text, key=key)
        return StoredEntry(key, text, _deadline(parsed.expires_at))
    except StorageError as error:
        raise ValueError(str(error.__cause__ or error)) from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        try:
            return _footer(line)
        except (msgspec.MsgspecError, UnicodeError):
            raise ValueError(str(error)) from error


def _deadline(seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if not 0 <= seconds <= MAX_TTL_MS / 1000 or math.isnan(seconds):
        raise ValueError(f"expires_at is no time in seconds since the epoch: {shown(seconds)}")
    return round(seconds * 1000)
