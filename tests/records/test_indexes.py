"""Declaring indexes of fields."""

from __future__ import annotations

from typing import Any

import pytest

from ad_seller.storage import DEFAULT_INDEXES, ConfigurationError, Index, InvalidArgumentError
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.options import from_settings
from ad_seller.storage.records.indexes import declared


def test_by_objects_texts_and_settings() -> None:
    wanted = (Index("event", "session_id"), Index("quote", "product.product_id"))
    assert (
        declared(wanted) == declared(["event.session_id", "quote.product.product_id", "event.session_id"]) == wanted
    )
    assert declared(["default"]) == DEFAULT_INDEXES
    options = from_settings("sqlite", {"STORAGE_INDEXES": " event.session_id, quote.product.product_id,"}, "")
    assert declared(options["indexes"]) == wanted
    assert from_settings("sqlite", {"STORAGE_INDEXES": "none"}, "") == {"indexes": ()}
    assert wanted[1].path == ("product", "product_id")
    assert (wanted[0].prefix, str(wanted[0])) == ("event:", "event.session_id")


def test_names_do_not_collide_and_fit() -> None:
    alike = [Index("a_b", "c"), Index("a", "b_c"), Index("a", "b.c"), Index("A", "b_c"), Index("a-b", "c")]
    long = [Index("k" * 100, "f" * 200), Index("k" * 100, "f" * 199)]
    names = [index.name for index in (*alike, *long)]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 46 and name.replace("_", "a").isalnum() for name in names)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        *(("", "a"), ("a b", "c"), ("a*", "b"), ("ä", "b"), (None, "b"), ("a" * 101, "b")),
        *(
            ("a", ""),
            ("a", "b..c"),
            ("a", ".b"),
            ("a", "b'"),
            ("a", 'b"'),
            ("a", 5),
            ("a", "b" * 201),
            ("a", "b\0"),
        ),
    ],
)
def test_what_is_none_is_refused(kind: Any, field: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        Index(kind, field)


@pytest.mark.parametrize(
    "indexes", ["event.session_id", 5, [5], ["event"], ["event."], ["a b.c"], [None], [("a", "b")]]
)
def test_a_declaration_says_what_it_may_be(indexes: Any) -> None:
    with pytest.raises(ConfigurationError, match="ndex"):
        MemoryBackend(indexes=indexes)
