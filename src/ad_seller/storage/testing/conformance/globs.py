"""The pattern grammar a second time, as plainly as possible, to compare backends with."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache

_ALPHABET = ["a", "b", "c", "A", "B", "-", "]", "[", "\\", "*", "?", "^", "!", "\n", ".", "\u00e9", "\U0001f600"]
_PIECES = [
    *_ALPHABET,
    "*",
    "?",
    "[ab]",
    "[a-c]",
    "[^a]",
    "[!a-b]",
    "[b-a]",
    "[]",
    "[^]",
    "[\\]]",
    "[a-]",
    "\\*",
    "\\[",
]


class _Class:
    def __init__(self, negated: bool, ranges: list[tuple[str, str]]) -> None:
        self.negated = negated
        self.ranges = ranges

    def accepts(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


#: A class, "*", "?", or "=" followed by the character that is meant.
Token = _Class | str


@lru_cache(2**15)  # each set-up is asked the same
def matches(pattern: str, key: str) -> bool:
    """Tell whether the whole of ``key`` matches ``pattern``, by keeping every place the match could be at."""
    tokens = list(_tokens(pattern))
    places = _skip_stars({0}, tokens)
    for char in key:
        stay = {place for place in places if place < len(tokens) and tokens[place] == "*"}
        step = {place + 1 for place in places - stay if place < len(tokens) and _accepts(tokens[place], char)}
        places = _skip_stars(stay | step, tokens)
    return len(tokens) in places


def _skip_stars(places: set[int], tokens: list[Token]) -> set[int]:
    reached = set(places)
    for place in places:
        while place < len(tokens) and tokens[place] == "*" and place + 1 not in reached:
            place += 1
            reached.add(place)
    return reached


def _accepts(token: Token, char: str) -> bool:
    if isinstance(token, _Class):
        return token.accepts(char)
    return token in ("?", f"={char}")


def _tokens(pattern: str) -> Iterator[Token]:
    rest = pattern
    while rest:
        char, rest = rest[0], rest[1:]
        if char in "*?":
            yield char
        elif char == "[" and (parsed := _class(rest)) is not None:
            token, rest = parsed
            yield token
        elif char == "\\" and rest:
            yield f"={rest[0]}"
            rest = rest[1:]
        else:
            yield f"={char}"


def _class(rest: str) -> tuple[_Class, str] | None:
    """Parse what follows an opening bracket; None if it is malformed, so that the bracket is literal."""
    negated = rest[:1] in ("^", "!")
    rest = rest[negated:]
    ranges: list[tuple[str, str]] = []
    while rest and rest[0] != "]":
        low, rest = _member(rest)
        high = low
        if rest[:1] == "-" and rest[1:2] not in ("", "]"):
            high, rest = _member(rest[1:])
        ranges.append((low, high))
    well_formed = rest and ranges and all(low <= high for low, high in ranges)
    return (_Class(negated, ranges), rest[1:]) if well_formed else None


def _member(rest: str) -> tuple[str, str]:
    if rest[0] == "\\" and len(rest) > 1:
        rest = rest[1:]
    return rest[0], rest[1:]


def random_keys(rng: random.Random, count: int) -> list[str]:
    """Return distinct short keys of the characters that patterns are about."""
    keys = {"".join(rng.choices(_ALPHABET, k=rng.randint(1, 4))) for _ in range(count)}
    return sorted(keys)


def random_patterns(rng: random.Random, count: int, keys: list[str]) -> list[str]:
    """Return patterns, half of them made from a key so that many match something."""
    return [_distorted(rng, rng.choice(keys)) if rng.random() < 0.5 else _free(rng) for _ in range(count)]


def _free(rng: random.Random) -> str:
    return "".join(rng.choices(_PIECES, k=rng.randint(0, 5)))


def _distorted(rng: random.Random, key: str) -> str:
    forms = ["{0}", "\\{0}", "?", "*", "[{0}]", "[^{0}]", "[{0}-{0}]", "[a{0}]", "{0}*"]
    return "".join(rng.choice(forms).format(char) for char in key)
