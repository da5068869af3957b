"""Filtered listings by indexes find what a filter over all records finds, and no write fails because of them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ad_seller.storage import CorruptValueError
from ad_seller.storage.driver.query import KeyQuery
from ad_seller.storage.postgres.fields import FIELD_FUNCTION, Declared
from ad_seller.storage.postgres.statements import TABLE, session_settings
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.records.codec import decode
from ad_seller.storage.records.filters import Condition, matches
from ad_seller.storage.records.globs import compile_glob
from ad_seller.storage.seller.kinds import FIELDS, conditions
from tests.json_values import any_text, scalars
from tests.odd_records import EVERY_FIELD, check_filters
from tests.postgres.kept import Database
from tests.postgres.support import postgres_engine_of, sql, store_text

Ask = Callable[..., Any]

MESSY_TEXTS = [
    '{"status": "closed", "status": "open"}',
    '{"status": "open", "status": null}',
    '{"product": {"product_id": "open"}, "product": {"product_id": "closed"}}',
    '{"product": {"product_id": "closed"}, "product": {"product_id": "open"}}',
    '{"product": {"product_id": "open"}, "product": {}}',
    r'{"st\u0061tus": "op\u0065n"}',
    r'{"status": "open", "note": "\u0000"}',
    r'{"status": "open", "\u0000": 1}',
    r'{"status": "\ud83d\ude00"}',
    '{"status": ' + "1" * 5000 + "}",
    ' \n\t{ "status" :\r"open" } ',
    '{"status": {"status": "open"}}',
    '["status", "open"]',
    '"open"',
    "1",
    "null",
]


@pytest.fixture
async def storage(postgres_url: str) -> AsyncIterator[PostgresBackend]:
    async with PostgresBackend(postgres_url, sweep_interval=None) as storage:
        yield storage


@pytest.mark.parametrize("entity", FIELDS)
@pytest.mark.parametrize("seed", range(5))
async def test_the_same_as_a_filter_over_all_records(storage: PostgresBackend, entity: str, seed: int) -> None:
    await check_filters(storage, entity, seed)


async def test_the_same_by_declared_indexes(new_database: str) -> None:
    async with PostgresBackend(new_database, indexes=EVERY_FIELD) as storage:
        for seed, entity in enumerate(FIELDS):
            await check_filters(storage, entity, seed)
        assert (await postgres_engine_of(storage))._indexes.known.valid == Declared(EVERY_FIELD).names


names = st.one_of(st.sampled_from(["status", "product", "product_id"]), any_text)
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def ask(postgres_database: Database) -> Iterator[Ask]:
    """Run one statement after the other over one connection."""

    async def prepare() -> Any:
        async with PostgresBackend(postgres_database.url):
            pass
        return await asyncpg.connect(postgres_database.url)

    with asyncio.Runner() as runner:
        connection = runner.run(prepare())
        yield lambda *call: runner.run(connection.fetchval(*call))
        runner.run(connection.close())


class TestTheFunction:
    """What the index files for a text, against what our own decoder finds there."""

    @staticmethod
    def agrees(ask: Ask, text: str) -> None:
        document = decode(text, key="order:1")
        for path in (("status",), ("product", "product_id")):
            filed = ask(f"SELECT {FIELD_FUNCTION}($1::text, VARIADIC $2::text[])", text, list(path))
            assert filed is None or len(filed) <= 100
            for wanted in ("open", *strings_in(document)):
                if filed != "\x01" and matches(document, (Condition(path, wanted),)):
                    assert filed == wanted[:100]

    @given(document=documents, ascii_only=st.booleans())
    def test_any_document(self, ask: Ask, document: Any, ascii_only: bool) -> None:
        self.agrees(ask, json.dumps(document, ensure_ascii=ascii_only))

    @pytest.mark.parametrize("text", MESSY_TEXTS)
    def test_texts_that_only_others_write(self, ask: Ask, text: str) -> None:
        self.agrees(ask, text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            '{"status": "open"',
            '{"status": "open", "a": NaN}',
            r'{"status": "open", "a": "\ud800"}',
            r'{"status": "open", "a": "\u0000"}',
            "\x01",
            "[" * 100_000,
            '{"status": "open", "a": "' + "x" * 1_050_000 + '"}',
        ],
        ids=lambda text: repr(text[:30]),
    )
    def test_what_cannot_be_read_is_unknown(self, ask: Ask, text: str) -> None:
        assert ask(f"SELECT {FIELD_FUNCTION}($1::text, 'status')", text) == "\x01"


def strings_in(document: Any) -> list[str]:
    if isinstance(document, str):
        return [document]
    children = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return [text for child in children for text in strings_in(child)]


class TestWrites:
    @pytest.mark.parametrize("key", ["order:" + "k" * 2042, "order:" + "😀" * 510])
    async def test_the_longest_key_with_the_longest_field(self, storage: PostgresBackend, key: str) -> None:
        choose = random.Random(1)
        status = "".join(chr(choose.randrange(0x10000, 0x10FFFF)) for _ in range(3000))  # cannot be compressed
        await storage.set(key, {"status": status})
        assert await storage.list_orders({"status": status}) == [{"status": status}]
        assert await storage.list_orders({"status": status[:100]}) == []

    async def test_texts_that_are_no_json_are_reported_by_every_search(
        self, storage: PostgresBackend, postgres_url: str
    ) -> None:
        await storage.set_order("good", {"status": "open"})
        await store_text(postgres_url, "order:bad", '{"status": "closed"')
        with pytest.raises(CorruptValueError) as caught:
            await storage.list_orders({"status": "open"})
        assert caught.value.key == "order:bad"
        seen: list[CorruptValueError] = []
        assert await storage.list_orders({"status": "open"}, on_corrupt=seen.append) == [{"status": "open"}]
        assert [error.key for error in seen] == ["order:bad"]

    async def test_deep_and_huge_records(self, storage: PostgresBackend) -> None:
        deep: Any = "x"
        for _ in range(190):
            deep = [deep]
        records = [{"status": "open", "a": deep}, {"status": "open", "a": "y" * 3_000_000}]
        for number, record in enumerate(records):
            await storage.set_order(str(number), record)
        assert await storage.list_orders({"status": "open"}) == records
        assert await storage.list_orders({"status": "closed"}) == []

    async def test_a_record_changes_expires_and_goes(self, storage: PostgresBackend) -> None:
        await storage.set_order("1", {"status": "open"})
        await storage.update_order("1", lambda record: {**record, "status": "closed"})
        assert await storage.list_orders({"status": "open"}) == []
        assert await storage.list_orders({"status": "closed"}) == [{"status": "closed"}]
        await storage.expire("order:1", 0.02)
        await asyncio.sleep(0.05)
        assert await storage.list_orders({"status": "closed"}) == []
        await storage.set_order("1", {"status": "closed"})
        await storage.delete_order("1")
        assert await storage.list_orders({"status": "closed"}) == []


async def insert_orders(url: str, status: str, count: int) -> None:
    await sql(
        url,
        f"INSERT INTO {TABLE} SELECT 'order:' || to_char(n, 'FM000000'), "
        f"json_build_object('status', {status}, 'n', n)::text FROM generate_series(1, {count}) n",
    )


async def generic_plan(url: str, statement: str, parameters: list[Any]) -> str:
    """Explain a statement as our sessions run it."""
    connection = await asyncpg.connect(url, server_settings=session_settings(5))
    await connection.execute(f"PREPARE search AS {statement}")
    given = ", ".join(f"'{parameter}'" for parameter in parameters)
    rows = await connection.fetch(f"EXPLAIN EXECUTE search({given})")
    await connection.close()
    return "\n".join(line for (line,) in rows)


class TestPlans:
    @pytest.mark.parametrize("believed", ["nothing", "none is open", "all are open", "the truth"])
    async def test_few_among_many_are_found_by_the_index_page_by_page(
        self, storage: PostgresBackend, postgres_url: str, believed: str
    ) -> None:
        if status := {"none is open": "'closed'", "all are open": "'open'"}.get(believed):
            await insert_orders(postgres_url, status, 5000)
            await sql(postgres_url, f"ANALYZE {TABLE}")
            await sql(postgres_url, f"DELETE FROM {TABLE}")
        await insert_orders(postgres_url, "CASE WHEN n % 10 = 0 THEN 'open' ELSE 'closed' END", 30_000)
        if believed == "the truth":
            await sql(postgres_url, f"ANALYZE {TABLE}")
        orders = await storage.list_orders({"status": "open"})
        assert [order["n"] for order in orders] == list(range(10, 30_001, 10))
        for after, reverse in ((None, False), (None, True), ("order:020000", False), ("order:020000", True)):
            where = conditions("order", {"status": "open"})
            span = KeyQuery(compile_glob("order:*"), where=where, reverse=reverse)
            [search] = Declared(None).searches(span)
            plan = await generic_plan(postgres_url, *search.select(span, after, 1000))
            assert plan.count(f"using {TABLE}_order_status") == 2, plan
            assert plan.count("Index Cond: ((ad_seller_kv_field") == 2, plan

    async def test_of_several_conditions_the_narrowest_is_searched(self, new_database: str) -> None:
        async with PostgresBackend(new_database, indexes=EVERY_FIELD) as storage:
            await self._check_narrowest(storage)

    async def _check_narrowest(self, storage: PostgresBackend) -> None:
        await storage.set_many(
            {
                f"quote:{n:04}": {
                    "status": "open",
                    "buyer_id": "one" if n == 7 else "many",
                    "product": {"product_id": str(n % 5)},
                }
                for n in range(300)
            }
        )
        indexes = (await postgres_engine_of(storage))._indexes
        for filters, expected in (
            ({"status": "open", "buyer_id": "one"}, ("buyer_id",)),
            ({"status": "none", "buyer_id": "one"}, ("status",)),
            ({"status": "open", "product_id": "3", "buyer_id": "many"}, ("product", "product_id")),
            ({"status": 5, "product_id": "3"}, ("product", "product_id")),
        ):
            search = await indexes.narrowest(KeyQuery(compile_glob("quote:*"), where=conditions("quote", filters)))
            assert search is not None
            assert search.index.path == expected
