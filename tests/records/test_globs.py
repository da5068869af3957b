"""The one matcher, against a second one that is too plain to be wrong."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ad_seller.storage.errors import InvalidPatternError
from ad_seller.storage.records.globs import compile_glob, escape, prefix_glob, successor
from ad_seller.storage.records.keys import MAX_KEY_BYTES
from ad_seller.storage.testing.conformance import globs
from ad_seller.storage.testing.conformance.patterns import EXAMPLES, MALFORMED, WORDS

chars = st.sampled_from("aAbcz-]^!*?[\\\n.\u00e9\U0001f600")
patterns = st.lists(st.one_of(chars, st.sampled_from(["*", "?", "[a-c]", "[^a]", "[!b]", "\\*"])), max_size=8).map(
    "".join
)
keys = st.text(chars, min_size=1, max_size=6)


class TestMatching:
    @given(patterns, keys)
    @settings(max_examples=2000)
    @example("[]a]", "]")
    @example("[^]a]", "^a]")
    @example("[a-]", "-")
    @example("[--a]", "5")
    @example("[a\\-c]", "b")
    @example("[\\", "[\\")
    @example("a\\", "a\\")
    @example("*\\", "a\\")
    def test_agrees_with_the_plain_matcher(self, pattern: str, key: str) -> None:
        assert compile_glob(pattern).matches(key) == globs.matches(pattern, key)

    @given(patterns, keys)
    def test_prefix_is_what_every_match_starts_with(self, pattern: str, key: str) -> None:
        glob = compile_glob(pattern)
        assert not glob.matches(key) or key.startswith(glob.prefix)

    @pytest.mark.parametrize("pattern", EXAMPLES)
    def test_examples(self, pattern: str) -> None:
        assert [word for word in WORDS if compile_glob(pattern).matches(word)] == EXAMPLES[pattern]
        assert [word for word in WORDS if globs.matches(pattern, word)] == EXAMPLES[pattern]

    @pytest.mark.parametrize("pattern", MALFORMED)
    def test_malformed_class_stands_for_itself(self, pattern: str) -> None:
        glob = compile_glob(pattern)
        assert glob.literal
        assert glob.matches(glob.prefix)

    @given(st.text(min_size=1), st.text())
    def test_escaped_text_matches_itself_only(self, text: str, other: str) -> None:
        glob = compile_glob(escape(text))
        assert glob.literal
        assert glob.matches(text)
        assert glob.matches(other) == (text == other)

    @pytest.mark.parametrize(
        ("pattern", "prefix", "literal"),
        [
            ("deal:*", "deal:", False),
            ("deal:1", "deal:1", True),
            ("de\\al:\\*", "deal:*", True),
            ("de[a]l:*", "de", False),
            ("de[al:*", "de[al:", False),
            ("*", "", False),
            ("", "", True),
            ("a?b", "a", False),
        ],
    )
    def test_literal_start(self, pattern: str, prefix: str, literal: bool) -> None:
        glob = compile_glob(pattern)
        assert (glob.prefix, glob.literal) == (prefix, literal)

    def test_prefix_and_star_need_no_regular_expression(self) -> None:
        assert compile_glob("deal:*").regex is None
        assert compile_glob("deal:**").regex is None
        assert compile_glob("deal:*1").regex is not None


class TestPrefix:
    @pytest.mark.parametrize("prefix", ["order:", "", "a*b", "[x]", "\\", "é:"])
    def test_it_is_taken_literally(self, prefix: str) -> None:
        assert prefix_glob(prefix) == compile_glob(f"{escape(prefix)}*")
        assert prefix_glob(prefix).matches(f"{prefix}1")


class TestRefusal:
    @pytest.mark.parametrize("pattern", [None, 5, b"*", ["*"], ("*",), True, "\ud800", "*\udfff"], ids=repr)
    def test_what_is_no_pattern(self, pattern: object) -> None:
        with pytest.raises(InvalidPatternError):
            compile_glob(pattern)

    def test_pattern_that_matches_the_longest_key_is_not_too_long(self) -> None:
        key = "*" * MAX_KEY_BYTES
        assert compile_glob(escape(key)).matches(key)

    def test_subclass_counts_as_the_str_that_it_holds(self) -> None:
        class Loud(str):
            __slots__ = ()

            def __str__(self) -> str:
                return "loud"

        assert compile_glob(Loud("quiet")).matches("quiet")


class TestCost:
    @pytest.mark.parametrize("text", ["[", "[a-", "[^", "\\", "*a", "?*", "[ab]*", "[a", "*"])
    def test_compiling_and_matching_are_quick(self, text: str) -> None:
        pattern = text * (MAX_KEY_BYTES // len(text))
        started = time.process_time()
        glob = compile_glob(pattern)
        for key in ("a" * MAX_KEY_BYTES, "ab" * (MAX_KEY_BYTES // 2), pattern[:MAX_KEY_BYTES]):
            glob.matches(key)
        assert time.process_time() - started < 1

    def test_stars_do_not_multiply(self) -> None:
        started = time.process_time()
        assert not compile_glob("a*" * 50 + "b").matches("a" * MAX_KEY_BYTES)
        assert not compile_glob("*[ab]" * 50 + "c*c").matches("ab" * 1000)
        assert time.process_time() - started < 1


class TestSuccessor:
    @given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=4), st.text(st.characters(codec="utf-8")))
    def test_is_above_all_that_start_with_the_prefix_and_not_above_others(self, prefix: str, other: str) -> None:
        stop = successor(prefix)
        assert stop is None or prefix + other < stop
        assert stop is None or other.startswith(prefix) or not prefix < other < stop

    def test_has_no_surrogates_and_an_end(self) -> None:
        assert successor("a\ud7ff") == "a\ue000"
        assert successor("a\U0010ffff") == "b"
        assert successor("\U0010ffff\U0010ffff") is None
        assert successor("") is None
