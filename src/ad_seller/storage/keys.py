"""Keys and patterns: what a key may be, the prefix of each entity, and the one glob matcher."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache

from .errors import InvalidCursorError, InvalidKeyError, InvalidPatternError

MAX_KEY_BYTES = 2048

#: The key prefix of every entity (contract, section 1).
PREFIXES = {
    "product": "product:",
    "proposal": "proposal:",
    "deal": "deal:",
    "session": "session:",
    "quote": "quote:",
    "order": "order:",
    "change_request": "change_request:",
    "negotiation": "negotiation:",
    "agent": "agent:",
    "package": "package:",
    "media_kit": "media_kit:",
}

SESSION_INDEX_PREFIX = "session_index:buyer:"
AGENT_URL_INDEX_PREFIX = "agent_url_index:"


def check_key(key: object) -> str:
    """Return ``key`` as a plain str if it may be a key.

    Args:
        key: a non-empty str of at most 2,048 bytes in UTF-8, without NUL and lone surrogates.

    Raises:
        InvalidKeyError: it is anything else.
    """
    if not isinstance(key, str):
        raise InvalidKeyError(f"A key must be a str, not {type(key).__name__}: {key!r:.80}")
    if type(key) is not str:
        key = str.__str__(key)
    if not key:
        raise InvalidKeyError("A key must not be empty")
    if "\0" in key:
        raise InvalidKeyError(f"A key must not contain NUL: {key!r:.80}", key=key)
    if len(key) > MAX_KEY_BYTES or (not key.isascii() and _utf8_length(key) > MAX_KEY_BYTES):
        raise InvalidKeyError(
            f"A key has at most {MAX_KEY_BYTES} bytes in UTF-8, this one has more: {key!r:.80}", key=key
        )
    return key


def _utf8_length(key: str) -> int:
    try:
        return len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKeyError(f"A key must not contain lone surrogates: {key!r:.80}") from None


def escape(text: str) -> str:
    """Return a pattern that matches exactly ``text``."""
    return re.sub(r"([*?\[\\])", r"\\\1", text)


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled pattern.

    Attributes:
        prefix: the literal text that every match starts with.
        regex: what decides beyond the prefix; None if the prefix alone decides (``prefix*``).
        literal: whether only ``prefix`` itself matches.
    """

    prefix: str
    regex: re.Pattern[str] | None
    literal: bool = False

    def matches(self, key: str) -> bool:
        """Tell whether the whole of ``key`` matches."""
        if self.regex is not None:
            return self.regex.fullmatch(key) is not None
        return key == self.prefix if self.literal else key.startswith(self.prefix)


def successor(prefix: str) -> str | None:
    """Return the smallest string, by code point, above every string that starts with ``prefix``."""
    for end in range(len(prefix), 0, -1):
        code = ord(prefix[end - 1])
        if code < 0x10FFFF:
            following = 0xE000 if code == 0xD7FF else code + 1  # there are no characters in between
            return prefix[: end - 1] + chr(following)
    return None


@lru_cache(maxsize=512)
def _compile(pattern: str) -> Glob:
    literal, rest = _literal_prefix(pattern)
    if not rest:
        return Glob(literal, None, literal=True)
    if rest.strip("*") == "":
        return Glob(literal, None)
    return Glob(literal, re.compile(_translate(pattern), re.DOTALL))


def compile_glob(pattern: object) -> Glob:
    r"""Compile a glob pattern.

    The grammar is the same on every backend: ``*`` any run of characters, ``?`` one character,
    ``[abc]``, ``[a-z]``, ``[^a]`` and ``[!a]`` classes, ``\`` takes the next character literally.
    A class that is not closed, is empty, or has a range that runs backwards stands for itself.

    Args:
        pattern: the pattern; it is compared with whole keys, character by character, with case.

    Raises:
        InvalidPatternError: it is no str, or holds a lone surrogate.
    """
    if not isinstance(pattern, str):
        raise InvalidPatternError(f"A pattern must be a str, not {type(pattern).__name__}: {pattern!r:.80}")
    try:
        pattern.encode()
    except UnicodeEncodeError:
        raise InvalidPatternError(f"A pattern must not contain lone surrogates: {pattern!r:.80}") from None
    return _compile(str.__str__(pattern))


def _literal_prefix(pattern: str) -> tuple[str, str]:
    """Split into the unescaped literal text at the start and what follows it."""
    literal: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char in "*?":
            break
        if char == "[" and _parse_class(pattern, position) is not None:
            break
        if char == "\\" and position + 1 < len(pattern):
            position += 1
            char = pattern[position]
        literal.append(char)
        position += 1
    return "".join(literal), pattern[position:]


def _translate(pattern: str) -> str:
    """Turn a pattern into a regular expression that never backtracks over a ``*``.

    Each run between two stars is matched where it first fits, in an atomic group: the leftmost fit
    leaves the most text for what follows, so no other choice can succeed where this one fails.
    """
    first, *others = _segments(pattern)
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>.*?{segment})" for segment in middle if segment) + f".*{last}"


def _segments(pattern: str) -> list[str]:
    """Return the regular expressions of the runs between the stars."""
    segments = [""]
    position = 0
    while position < len(pattern):
        char = pattern[position]
        parsed = _parse_class(pattern, position) if char == "[" else None
        if char == "*":
            segments.append("")
        elif char == "?":
            segments[-1] += "."
        elif parsed is not None:
            expression, position = parsed
            segments[-1] += expression
            continue
        else:
            if char == "\\" and position + 1 < len(pattern):
                position += 1
            segments[-1] += re.escape(pattern[position])
        position += 1
    return segments


def _parse_class(pattern: str, start: int) -> tuple[str, int] | None:
    """Parse the class that opens at ``start``: its regular expression and the position after it."""
    position = start + 1
    negated = pattern[position : position + 1] in ("^", "!")
    position += negated
    members: list[str] = []
    while position < len(pattern) and pattern[position] != "]":
        low, position = _member(pattern, position)
        high = low
        if pattern[position : position + 1] == "-" and pattern[position + 1 : position + 2] not in ("", "]"):
            high, position = _member(pattern, position + 1)
        if high < low:
            return None
        members.append(f"{re.escape(low)}-{re.escape(high)}")
    if position >= len(pattern) or not members:
        return None
    return f"[{'^' if negated else ''}{''.join(members)}]", position + 1


def _member(pattern: str, position: int) -> tuple[str, int]:
    if pattern[position] == "\\" and position + 1 < len(pattern):
        position += 1
    return pattern[position], position + 1


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
            f"Not a cursor of a scan: {cursor!r:.80}. Pass the `cursor` of the page before, or None to start."
        ) from error
