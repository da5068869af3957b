"""What a key may be, and the cursors of scans."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from ..capabilities import MAX_KEY_BYTES as MAX_KEY_BYTES
from ..errors import InvalidArgumentError, InvalidCursorError, InvalidKeyError, shown


def check_key(key: object) -> str:
    """Return ``key`` as a plain str if it may be a key.

    Args:
        key: a non-empty str of at most 2,048 bytes in UTF-8, without NUL and lone surrogates.

    Raises:
        InvalidKeyError: it is anything else.
    """
    if type(key) is not str:
        key = _plain_str(key)
    if not key:
        raise InvalidKeyError("A key must not be empty")
    if "\0" in key:
        raise InvalidKeyError(f"A key must not contain NUL: {shown(key)}", key=key)
    if len(key) > MAX_KEY_BYTES or (not key.isascii() and _utf8_length(key) > MAX_KEY_BYTES):
        raise InvalidKeyError(
            f"A key has at most {MAX_KEY_BYTES} bytes in UTF-8, this one has more: {shown(key)}", key=key
        )
    return key


def _plain_str(key: object) -> str:
    """Return the str that a subclass of str holds."""
    try:
        if isinstance(key, str):
            return str.__str__(key)
    except Exception as error:  # objects that only pretend raise what they like
        raise InvalidKeyError(f"A key must be a str: {shown(key)}") from error
    raise InvalidKeyError(f"A key must be a str, not {type(key).__name__}: {shown(key)}")


def _utf8_length(key: str) -> int:
    try:
        return len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKeyError(f"A key must not contain lone surrogates: {shown(key)}") from None


def check_keys(keys: Iterable[str]) -> list[str]:
    """Return the keys, each once, in their order; a lone str is refused, because it iterates by character."""
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise InvalidArgumentError(f"Expected several keys, got one {type(keys).__name__}: {shown(keys)}")
    return list(dict.fromkeys(check_key(key) for key in keys))


def copied(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of ``mapping``, so that its owner may change it while we await."""
    if not isinstance(mapping, Mapping):
        raise InvalidArgumentError(f"Expected a mapping of keys to values, not {shown(mapping)}")
    return dict(mapping)


def encode_cursor(key: str) -> str:
    """Return the opaque cursor that continues after ``key``."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def decode_cursor(cursor: object) -> str:
    """Return the key after which a scan continues.

    Raises:
        InvalidCursorError: ``cursor`` did not come from a scan.
    """
    try:
        if not isinstance(cursor, str):
            raise TypeError(f"a cursor is a str, not {type(cursor).__name__}")
        return check_key(base64.b64decode(cursor, altchars=b"-_", validate=True).decode())
    except (TypeError, ValueError, binascii.Error) as error:
        raise InvalidCursorError(
            f"Not a cursor of a scan: {shown(cursor)}. Pass the `cursor` of the page before, or None to start."
        ) from error
