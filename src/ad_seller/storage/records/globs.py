"""Patterns: one grammar and one matcher for every backend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from ..errors import InvalidPatternError, shown
from .keys import MAX_KEY_BYTES

#: A key in which every character is escaped; no pattern needs more.
MAX_PATTERN_LENGTH = 2 * MAX_KEY_BYTES


class Glob(NamedTuple):
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


def escape(text: str) -> str:
    """Return a pattern that matches exactly ``text``."""
    return re.sub(r"([*?\[\\])", r"\\\1", text)


def successor(prefix: str) -> str | None:
    """Return the smallest string, by code point, above every string that starts with ``prefix``."""
    for end in range(len(prefix), 0, -1):
        code = ord(prefix[end - 1])
        if code < 0x10FFFF:
            following = 0xE000 if code == 0xD7FF else code + 1  # there are no characters in between
            return prefix[: end - 1] + chr(following)
    return None


def prefix_glob(prefix: str) -> Glob:
    """Return the glob of all keys that begin with ``prefix``, taken literally."""
    return Glob(prefix, None)


def compile_glob(pattern: object) -> Glob:
    r"""Compile a glob pattern.

    The grammar is the same on every backend: ``*`` any run of characters, ``?`` one character,
    ``[abc]``, ``[a-z]``, ``[^a]`` and ``[!a]`` classes, ``\`` takes the next character literally.
    A class that is not closed, is empty, or has a range that runs backwards stands for itself.

    Args:
        pattern: at most 4,096 characters; compared with whole keys, character by character, with case.

    Raises:
        InvalidPatternError: it is no str, too long, or holds a lone surrogate.
    """
    try:
        plain = pattern if type(pattern) is str else str.__str__(pattern)
    except Exception as error:  # objects that only pretend to be a str raise what they like
        raise InvalidPatternError(
            f"A pattern must be a str, not {type(pattern).__name__}: {shown(pattern)}"
        ) from error
    if len(plain) > MAX_PATTERN_LENGTH:
        raise InvalidPatternError(f"A pattern has at most {MAX_PATTERN_LENGTH} characters, this has {len(plain)}")
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise InvalidPatternError(f"A pattern must not contain lone surrogates: {shown(pattern)}") from None
    return _compile(plain)


@lru_cache(maxsize=512)
def _compile(pattern: str) -> Glob:
    tokens = list(_tokens(pattern))
    prefix = ""
    for position, token in enumerate(tokens):
        if not token.literal:
            rest = tokens[position:]
            break
        prefix += token.text
    else:
        return Glob(prefix, None, literal=True)
    if all(token.text == "*" and not token.literal for token in rest):
        return Glob(prefix, None)
    return Glob(prefix, re.compile(re.escape(prefix) + _translate(rest), re.DOTALL))


class _Token(NamedTuple):
    """A literal character, or a wildcard: ``*``, or the regular expression of one character."""

    literal: bool
    text: str


def _tokens(pattern: str) -> Iterator[_Token]:
    position = 0
    unclosed = False  # no "]" follows that could close a class
    while position < len(pattern):
        char = pattern[position]
        if char == "[" and not unclosed:
            expression, end = _class(pattern, position)
            if expression:
                yield _Token(False, expression)
                position = end
                continue
            unclosed = end > len(pattern)
        if char == "\\" and position + 1 < len(pattern):
            position += 1
            yield _Token(True, pattern[position])
        elif char in "*?":
            yield _Token(False, "*" if char == "*" else ".")
        else:
            yield _Token(True, char)
        position += 1


def _class(pattern: str, start: int) -> tuple[str, int]:
    """Return the regular expression of the class at ``start`` and its end.

    The expression is empty if the class is malformed, and the end is beyond the pattern if it is not closed.
    """
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
            return "", position
        members.append(f"{re.escape(low)}-{re.escape(high)}")
    if position >= len(pattern):
        return "", len(pattern) + 1
    return (f"[{'^' if negated else ''}{''.join(members)}]" if members else ""), position + 1


def _member(pattern: str, position: int) -> tuple[str, int]:
    if pattern[position] == "\\" and position + 1 < len(pattern):
        position += 1
    return pattern[position], position + 1


def _translate(tokens: list[_Token]) -> str:
    """Turn tokens into a regular expression that never backtracks over a ``*``.

    Each run between two stars is matched where it first fits, in an atomic group: the leftmost fit leaves the
    most text for what follows, so no other choice can succeed where this one fails.
    """
    runs = [""]
    for literal, text in tokens:
        if not literal and text == "*":
            runs.append("")
        else:
            runs[-1] += re.escape(text) if literal else text
    first, *others = runs
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>.*?{run})" for run in middle if run) + f".*{last}"
