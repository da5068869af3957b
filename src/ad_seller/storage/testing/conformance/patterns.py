# ruff: noqa: D102  (the names of the tests say what they check)
"""Contract, section 4: one pattern grammar on every backend."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import pytest

from ...base import StorageBackend
from ...errors import InvalidPatternError
from ..conformance import globs
from ..levels import Level, Section, belongs
from .harness import Harness
from .rows import rows

WORDS = [
    "a",
    "ab",
    "abc",
    "aXc",
    "b",
    "A",
    "a-",
    "a\n",
    "a*",
    "a?",
    "a[",
    "a[bc]",
    "a]",
    "a\\",
    "a\\b",
    "^",
    "!",
    "\u00e9",
    "\U0001f600",
]

#: What a pattern finds among `WORDS`.
EXAMPLES = {
    "": [],
    "*": WORDS,
    "**": WORDS,
    "?": ["a", "b", "A", "^", "!", "\u00e9", "\U0001f600"],
    "a": ["a"],
    "A": ["A"],
    "a?": ["ab", "a-", "a\n", "a*", "a?", "a[", "a]", "a\\"],
    "a?c": ["abc", "aXc"],
    "*c": ["abc", "aXc"],
    "*b*": ["ab", "abc", "b", "a[bc]", "a\\b"],
    "a*c*": ["abc", "aXc", "a[bc]"],
    "a\\*": ["a*"],
    "a\\?": ["a?"],
    "a\\[": ["a["],
    "a\\[bc]": ["a[bc]"],
    "a\\[bc\\]": ["a[bc]"],
    "\\a\\b": ["ab"],
    "a\\\\": ["a\\"],
    "a\\": ["a\\"],
    "a\\\\b": ["a\\b"],
    "[ab]": ["a", "b"],
    "[a-b]": ["a", "b"],
    "[^a-b]": ["A", "^", "!", "\u00e9", "\U0001f600"],
    "[!a-b]": ["A", "^", "!", "\u00e9", "\U0001f600"],
    "[a^]": ["a", "^"],
    "[a!]": ["a", "!"],
    "[\\^]": ["^"],
    "[\\!a]": ["a", "!"],
    "a[-]": ["a-"],
    "a[x-]": ["a-"],
    "a[\\-x]": ["a-"],
    "a[+--]": ["a-"],
    "a[[]": ["a["],
    "a[\\]]": ["a]"],
    "a[^ -~]": ["a\n"],
    "a[*?]": ["a*", "a?"],
    "a[\\\\]": ["a\\"],
    "[\u00e0-\u00ef]": ["\u00e9"],
    "[\U0001f5ff-\U0001f601]": ["\U0001f600"],
    "a[": ["a["],
    "a[bc": [],
    "a]": ["a]"],
    "a*[": ["a["],
    "a[]": [],
    "a[^]": [],
    "a[z-a]": [],
    "a[[]bc]": ["a[bc]"],
    "a\0": [],
    "a\0*": [],
    "\0": [],
}

#: Malformed classes, which stand for themselves.
MALFORMED = [
    "[",
    "[]",
    "[^]",
    "[!]",
    "[b-a]",
    "[abc",
    "[^",
    "[!",
    "[a-",
    "[a-\\",
    "[\\]",
    "[^\\]",
    "x[9-0]y",
    "[a[b",
    "[c-a-z]",
]


@belongs(Level.PATTERNS, Section.PATTERNS)
class PatternConformance(Harness):
    """Globs over whole keys, by character, with case."""

    @rows("pattern", EXAMPLES)
    async def test_pattern_finds(self, backend: StorageBackend, pattern: str) -> None:
        await backend.set_many(dict.fromkeys(WORDS, 1))
        expected = sorted(EXAMPLES[pattern])
        assert await backend.keys(pattern) == expected
        assert await backend.count(pattern) == len(expected)
        assert [key for key, _ in (await backend.scan(pattern)).items] == expected

    @rows("pattern", MALFORMED)
    async def test_malformed_class_is_literal(self, backend: StorageBackend, pattern: str) -> None:
        texts = [pattern, f"{pattern}x", f"x{pattern}", "a", "b", "c", "5", "^", "!", "]", "\\", "-"]
        await backend.set_many(dict.fromkeys(texts, 1))
        literal = pattern.replace("\\]", "]")
        expected = [literal] if literal in texts else []
        assert await backend.keys(pattern) == expected
        assert pattern.endswith("\\") or await backend.keys(f"x{pattern}") == [f"x{literal}"] * (literal in texts)

    async def test_keys_by_default_are_all(self, backend: StorageBackend) -> None:
        await backend.set_many(dict.fromkeys(WORDS, 1))
        assert await backend.keys() == sorted(WORDS)
        assert await backend.count() == len(WORDS)

    @rows("seed", range(6))
    async def test_random_patterns_find_what_a_plain_matcher_finds(
        self, backend: StorageBackend, seed: int
    ) -> None:
        rng = random.Random(seed)  # noqa: S311
        keys = globs.random_keys(rng, 60)
        await backend.set_many(dict.fromkeys(keys, 1))
        for pattern in globs.random_patterns(rng, 60, keys):
            expected = [key for key in keys if globs.matches(pattern, key)]
            assert await backend.keys(pattern) == expected, f"pattern {pattern!r}"
            assert await backend.count(pattern) == len(expected), f"pattern {pattern!r}"
            page = await backend.scan(pattern, limit=3)
            assert [key for key, _ in page.items] == expected[:3], f"pattern {pattern!r}"
            assert (page.cursor is None) == (len(expected) <= 3), f"pattern {pattern!r}"

    async def test_keys_are_sorted_by_code_point(self, backend: StorageBackend) -> None:
        keys = ["Z", "a", "\u00e9", "\u20ac", "\ud7ff", "\ue000", "\ufffd", "\uffff", "\U00010000", "\U0010ffff"]
        await backend.set_many(dict.fromkeys(reversed(keys), 1))
        assert await backend.keys() == keys
        assert await backend.keys("[^a]") == [key for key in keys if key != "a"]
        assert [key for key, _ in (await backend.scan()).items] == keys
        for prefix in keys:
            assert await backend.keys(f"{prefix}*") == [prefix]
            assert await backend.keys(f"{prefix}*?") == []

    @rows("prefix", ["\ud7ff", "\uffff", "\U0010ffff", "a\U0010ffff", "\U0010ffff\U0010ffff", "\x7f"])
    async def test_prefix_at_the_end_of_a_range(self, backend: StorageBackend, prefix: str) -> None:
        inside = [prefix, f"{prefix}a", f"{prefix}\uffff", f"{prefix}\U0010ffff", f"{prefix}\U0010ffff\U0010ffff"]
        outside = ["a", "b", "\ue000", "\U00010000", "\U0010fffe", "a\U0010fffe", "\x7e", "\x80"]
        await backend.set_many(dict.fromkeys([*inside, *outside], 1))
        assert await backend.keys(f"{prefix}*") == sorted(inside)
        assert await backend.count(f"{prefix}*") == len(inside)
        assert len((await backend.scan(f"{prefix}*")).items) == len(inside)
        assert await backend.keys(f"{prefix}?") == sorted(inside)[1:-1]

    async def test_what_other_engines_take_for_wildcards_is_literal(self, backend: StorageBackend) -> None:
        await backend.set_many(
            dict.fromkeys(["change_request:1", "changeXrequest:1", "CHANGE_REQUEST:2", "100%", "100x"], 1)
        )
        assert await backend.keys("change_request:*") == ["change_request:1"]
        assert await backend.keys("100%") == ["100%"]
        assert await backend.keys("100%*") == ["100%"]
        assert await backend.keys("{change,100}*") == []
        assert await backend.keys(".*") == []
        assert await backend.keys("100(%|x)") == []

    @rows("pattern", ["a*" * 30 + "b", "*a" * 200 + "b", "?*" * 500 + "b", "[ab]*" * 100 + "c", "*" * 2000 + "b"])
    async def test_no_pattern_takes_long(self, backend: StorageBackend, pattern: str) -> None:
        await backend.set_many({"a" * backend.capabilities.max_key_bytes: 1, "a" * 200: 1, "ab" * 500: 1})
        async with asyncio.timeout(5):
            keys = await backend.keys(pattern)
        assert keys == [key for key in ("a" * 200, "ab" * 500) if globs.matches(pattern, key)]

    @rows("text", ["[", "[a-", "\\", "[^]", "?", "\\["])
    async def test_long_pattern_is_answered_or_refused_at_once(self, backend: StorageBackend, text: str) -> None:
        await backend.set("a", 1)
        async with asyncio.timeout(5):
            for call in (backend.keys, backend.count):
                with contextlib.suppress(InvalidPatternError):
                    assert not await call(text * 20_000)

    @rows("pattern", [None, 5, b"*", ["*"], True, "\ud800", "a\udfff*"])
    async def test_bad_pattern_is_refused(self, backend: StorageBackend, pattern: Any) -> None:
        await backend.set("a", 1)
        for call in (backend.keys(pattern), backend.count(pattern), backend.scan(pattern)):
            with pytest.raises(InvalidPatternError) as caught:
                await call
            assert isinstance(caught.value, ValueError)
            assert isinstance(caught.value, TypeError)
