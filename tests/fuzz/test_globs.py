"""Patterns of any text against any key: the matcher, and the ranges read for it, agree with a plain one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ad_seller.storage.driver.query import KeyQuery
from ad_seller.storage.records.globs import compile_glob, escape
from ad_seller.storage.testing.conformance import globs
from tests.fuzz.test_codec import fuzz

_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
_special = st.sampled_from(
    ["*", "?", "[", "]", "[^", "[!", "-", "\\", "[a-", "z]", "**", "[]]", "[\\", "\n", "\U0010ffff"]
)
_patterns = st.lists(st.one_of(_special, _special, _text), max_size=7).map("".join)
_keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@st.composite
def _pattern_and_keys(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Draw a pattern, and keys of which some are made of its pieces, so that many match."""
    pattern = draw(_patterns)
    pieces = st.sampled_from([*pattern, "a", "b", "-"]).filter(lambda char: char != "\0")
    near = st.lists(pieces, min_size=1, max_size=8).map("".join)
    return pattern, draw(st.lists(st.one_of(near, near, _keys), min_size=1, max_size=6, unique=True))


@given(_pattern_and_keys())
@fuzz(600)
def test_agrees_with_the_plain_matcher(drawn: tuple[str, list[str]]) -> None:
    pattern, keys = drawn
    glob = compile_glob(pattern)
    for key in keys:
        assert glob.matches(key) == globs.matches(pattern, key)


@given(_pattern_and_keys(), st.data())
@fuzz(300)
def test_range_of_a_listing_holds_every_match(drawn: tuple[str, list[str]], data: st.DataObject) -> None:
    pattern, keys = drawn
    after = data.draw(st.one_of(st.none(), st.sampled_from(keys)))
    span = KeyQuery(compile_glob(pattern), after)
    for key in keys:
        wanted = globs.matches(pattern, key) and (after is None or key > after)
        inside = span.start <= key and (span.stop is None or key < span.stop) and key != after
        assert span.has(key) == wanted
        assert inside or not wanted
        assert not (inside and span.exact) or wanted


@given(_keys, _keys)
@fuzz(300)
def test_escaped_text_stands_for_itself(text: str, other: str) -> None:
    assert compile_glob(escape(text)).matches(text)
    assert compile_glob(escape(text) + "*").matches(text + other)
    assert compile_glob(escape(text)).matches(other) == (text == other)
