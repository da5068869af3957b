"""Keys and cursors."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ad_seller.storage.errors import InvalidCursorError, InvalidKeyError
from ad_seller.storage.records.keys import MAX_KEY_BYTES, check_key, decode_cursor, encode_cursor
from ad_seller.storage.seller.entities import EntityHelpers
from ad_seller.storage.seller.kinds import AGENT_URL_INDEX_PREFIX, PREFIXES, SESSION_INDEX_PREFIX
from ad_seller.storage.seller.offers import OfferHelpers
from ad_seller.storage.testing.conformance.samples import BAD_KEYS, GOOD_KEYS, HOSTILE_KEYS

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=MAX_KEY_BYTES // 4)


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise RuntimeError("not now")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not now")

    __hash__ = str.__hash__


class TestCheckKey:
    @pytest.mark.parametrize("name", GOOD_KEYS)
    def test_good_key_is_returned_as_it_is(self, name: str) -> None:
        assert check_key(GOOD_KEYS[name]) is GOOD_KEYS[name]

    @pytest.mark.parametrize("name", BAD_KEYS)
    def test_bad_key_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidKeyError):
            check_key(BAD_KEYS[name])

    @pytest.mark.parametrize("name", HOSTILE_KEYS)
    def test_hostile_key_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidKeyError):
            check_key(HOSTILE_KEYS[name]())

    def test_a_long_wrong_key_makes_a_short_message(self) -> None:
        for wrong in ("x" * 10**6, b"x" * 10**6, ["x"] * 10**5, "\ud800" * 10**5):
            with pytest.raises(InvalidKeyError) as caught:
                check_key(wrong)
            assert len(str(caught.value)) < 300

    def test_subclass_becomes_the_plain_str_that_it_holds(self) -> None:
        key = check_key(Shouting("deal:1"))
        assert type(key) is str
        assert key == "deal:1"

    @given(texts)
    def test_any_text_of_the_length_will_do(self, text: str) -> None:
        assert check_key(text) == text

    @given(st.integers(1, 4), st.integers(-4, 4))
    def test_length_counts_bytes(self, width: int, offset: int) -> None:
        char = {1: "a", 2: "\u00e9", 3: "\u20ac", 4: "\U0001f600"}[width]
        bytes_wanted = MAX_KEY_BYTES + offset
        key = char * (bytes_wanted // width) + "a" * (bytes_wanted % width)
        assert len(key.encode()) == bytes_wanted
        if offset <= 0:
            assert check_key(key) == key
        else:
            with pytest.raises(InvalidKeyError):
                check_key(key)


class TestPrefixes:
    def test_no_prefix_starts_another(self) -> None:
        prefixes = [*PREFIXES.values(), SESSION_INDEX_PREFIX, AGENT_URL_INDEX_PREFIX]
        for prefix in prefixes:
            assert [other for other in prefixes if other.startswith(prefix)] == [prefix]

    def test_each_entity_has_its_helpers_and_no_others_exist(self) -> None:
        expected = {f"{verb}_{entity}" for verb in ("get", "set", "delete", "update") for entity in PREFIXES}
        expected |= {f"list_{entity}s" for entity in PREFIXES}
        helpers = {**vars(EntityHelpers), **vars(OfferHelpers)}
        assert {name for name in helpers if not name.startswith("_")} == expected

    @pytest.mark.parametrize("entity", PREFIXES)
    def test_prefix_is_the_name_of_the_entity(self, entity: str) -> None:
        assert PREFIXES[entity] == f"{entity}:"


class TestCursor:
    @given(texts)
    def test_any_key_makes_a_cursor_and_comes_back(self, key: str) -> None:
        cursor = encode_cursor(key)
        assert cursor.isascii()
        assert decode_cursor(cursor) == key

    @given(st.one_of(st.text(), st.binary(), st.none(), st.integers(), st.lists(st.text())))
    def test_anything_else_is_refused_or_means_a_key(self, cursor: object) -> None:
        try:
            key = decode_cursor(cursor)
        except InvalidCursorError:
            return
        assert check_key(key) == key

    @pytest.mark.parametrize("raw", [b"", b"a\0b", b"\xff", b"\xed\xa0\x80", b"x" * (MAX_KEY_BYTES + 1)])
    def test_what_can_be_no_key_is_refused(self, raw: bytes) -> None:
        with pytest.raises(InvalidCursorError):
            decode_cursor(base64.urlsafe_b64encode(raw).decode())
