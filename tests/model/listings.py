"""The rules about several entries: batches, listings, pages, records with filters, indexes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from ad_seller.storage.testing.conformance.samples import same
from tests.model import draws
from tests.model.machine import StoreMachine


class BatchRules(StoreMachine):
    """Several entries in one call."""

    @rule(keys=st.lists(draws.keys, max_size=6))
    def get_many(self, keys: list[str]) -> None:
        expected = {key: self.model.get(key) for key in keys if self.model.exists(key)}
        assert same(self.run(self.store.get_many(keys)), expected)

    @rule(mapping=st.dictionaries(draws.keys, draws.values, max_size=6), data=st.data())
    def set_many(self, mapping: dict[str, Any], data: st.DataObject) -> None:
        ttl = self.ttl(data)
        self.run(self.store.set_many(mapping, ttl))
        for key, value in mapping.items():
            self.model.set(key, value, ttl)

    @rule(keys=st.lists(draws.keys, max_size=6))
    def delete_many(self, keys: list[str]) -> None:
        assert self.run(self.store.delete_many(keys)) == sum(map(self.model.delete, dict.fromkeys(keys)))


class ListingRules(StoreMachine):
    """What matches a pattern."""

    @rule(pattern=draws.patterns)
    def keys_of(self, pattern: str) -> None:
        expected = self.model.keys(pattern)
        assert self.run(self.store.keys(pattern)) == expected
        assert self.run(self.store.count(pattern)) == len(expected)

    @rule(pattern=draws.patterns, limit=st.sampled_from([None, 1, 2, 3, 100]))
    def pages(self, pattern: str, limit: int | None) -> None:
        items: list[tuple[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.run(self.store.scan(pattern, limit=limit, cursor=cursor))
            assert limit is None or len(page.items) <= limit
            items += page.items
            assert len(items) <= len(self.model.keys()), "entries come again and again"
            cursor = page.cursor
            if cursor is None:
                break
        assert same(items, self.model.items(pattern))

    @rule(pattern=draws.patterns, written=st.dictionaries(draws.keys, draws.values, max_size=3), gone=draws.keys)
    def pages_while_others_write(self, pattern: str, written: dict[str, Any], gone: str) -> None:
        """What is there during the whole scan comes once and in order; nothing comes that never was."""
        before = dict(self.model.items(pattern))
        page = self.run(self.store.scan(pattern, limit=2))
        found = list(page.items)
        for key, value in written.items():
            self.run(self.store.set(key, value))
            self.model.set(key, value)
        assert self.run(self.store.delete(gone)) is self.model.delete(gone)
        while page.cursor is not None:
            page = self.run(self.store.scan(pattern, limit=2, cursor=page.cursor))
            found += page.items
            assert len(found) <= len(before) + len(written), "entries come again and again"
        keys = [key for key, _ in found]
        after = dict(self.model.items(pattern))
        assert keys == sorted(set(keys))
        assert set(keys) >= before.keys() & after.keys()
        for key, value in found:
            assert any(key in state and same(value, state[key]) for state in (before, after))


class RecordRules(StoreMachine):
    """Records by kind, and listings of them with filters."""

    @rule(kind=draws.kinds, record_id=draws.record_ids, record=draws.records)
    def store_record(self, kind: str, record_id: str, record: Any) -> None:
        key = f"{kind}:{record_id}"
        if isinstance(record, dict):
            self.run(getattr(self.store, f"set_{kind}")(record_id, record))
            self.model.set(key, record, 86_400 if kind == "quote" else None)
        else:
            self.run(self.store.set(key, record))
            self.model.set(key, record)

    @rule(kind=draws.kinds, record_id=draws.record_ids)
    def get_record(self, kind: str, record_id: str) -> None:
        assert same(self.run(getattr(self.store, f"get_{kind}")(record_id)), self.model.get(f"{kind}:{record_id}"))

    @rule(kind=draws.kinds, record_id=draws.record_ids)
    def delete_record(self, kind: str, record_id: str) -> None:
        deleted = self.run(getattr(self.store, f"delete_{kind}")(record_id))
        assert deleted is self.model.delete(f"{kind}:{record_id}")

    @rule(kind=draws.kinds, data=st.data())
    def list_records(self, kind: str, data: st.DataObject) -> None:
        asked = data.draw(draws.filters(kind, self.model.records(f"{kind}:", {})), label="filters")
        wanted = {draws.PLACES[kind][name]: value for name, value in (asked or {}).items() if value is not None}
        found = self.run(getattr(self.store, f"list_{kind}s")(asked))
        assert same(found, self.model.records(f"{kind}:", wanted))


class IndexRules(StoreMachine):
    """The sessions of a buyer, which are a list under one key."""

    @rule(session=st.sampled_from(["s1", "s2", "s3"]), buyer=st.sampled_from(["b1", "b2"]), add=st.booleans())
    def change_buyer_index(self, session: str, buyer: str, add: bool) -> None:
        key = f"session_index:buyer:{buyer}"
        ids: list[str] = self.model.get(key) or []
        if add:
            self.run(self.store.add_session_to_buyer_index(session, buyer))
            expected = ids if session in ids else [*ids, session]
        else:
            self.run(self.store.remove_session_from_buyer_index(session, buyer))
            expected = [known for known in ids if known != session]
        if self.model.exists(key) or expected:
            self.model.set(key, expected)
        assert self.run(self.store.get_buyer_session_ids(buyer)) == expected
