"""What a lone write and an opening cost: coroutines, round trips and statements, and no batch for one commit."""

from __future__ import annotations

import struct
from asyncio import selector_events
from collections.abc import Iterator
from typing import Any

import pytest

from ad_seller.storage.postgres import statements, writer
from ad_seller.storage.postgres_backend import PostgresBackend
from tests.passed import passed
from tests.postgres.support import sql

_TLS = struct.pack("!ll", 8, 80877103)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the event loop's sockets send from now on: asyncpg writes once for each round trip."""
    pieces: list[bytes] = []
    transport: Any = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    write = transport.write

    def noted(self: Any, data: bytes) -> None:
        pieces.append(bytes(data))
        write(self, data)

    monkeypatch.setattr(transport, "write", noted)
    return pieces


def messages(piece: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the kind and the content of each message (PostgreSQL's manual, "Message Formats")."""
    if piece == _TLS:
        yield "TLS?", b""
    elif piece[:1] == b"\0":
        yield "login", piece[8:]
    else:
        while piece:
            kind, length = piece[:1], struct.unpack("!l", piece[1:5])[0]
            yield kind.decode(), piece[5 : 1 + length]
            piece = piece[1 + length :]


def round_trips(pieces: list[bytes]) -> list[str]:
    """Return the kind of message that each begins with: P(arse), B(ind), Q(uery), or one of an opening."""
    return [next(messages(piece))[0] for piece in pieces]


async def test_a_set_passes_ten_coroutines_in_one_round_trip(
    postgres_url: str, sent: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with PostgresBackend(postgres_url) as store:
        for _ in range(3):
            await store.set("a", 1)  # the statement is prepared
        for made_for_several in ("_Batch", "Packed"):
            monkeypatch.setattr(writer, made_for_several, None)
        sent.clear()
        names = await passed(store.set("a", 2))
        assert await store.get("a") == 2
    assert len(names) <= 10, names
    assert round_trips(sent)[0] == "B"
    assert [kind for piece in sent[1:3] for kind, _ in messages(piece)] == [*"PDH", *"BES"], "those of the get"


async def test_the_server_stores_one_entry_by_two_nodes(postgres_url: str) -> None:
    """How long it waits for the row is set on the way: a subselect for that cost it a tenth more for each entry."""
    async with PostgresBackend(postgres_url):
        statement = statements.waiting(statements.PUT_ONE, 0.1)
        plan = [line for (line,) in await sql(postgres_url, f"EXPLAIN (COSTS OFF) {statement}", "a", "1", None)]
    assert [line.strip("-> ").partition(" ")[0] for line in plan if "->" in line or line[0] != " "] == [
        "Insert",
        "Result",
    ], plan


@pytest.mark.parametrize(("options", "asks"), [("", ["TLS?"]), ("?sslmode=disable", [])], ids=["prefer", "disable"])
async def test_opening_sends_one_query_and_one_statement(
    postgres_url: str, sent: list[bytes], options: str, asks: list[str]
) -> None:
    """The settings, by which a pooler is noticed; what is there; the second connection asks for nothing anew."""
    async with PostgresBackend(postgres_url):
        pass  # the tables are there now, whichever test comes first
    sent.clear()
    async with PostgresBackend(postgres_url + options):
        assert round_trips(sent) == [*asks, "login", "Q", "P", "B", "login"]
    assert not any(set(round_trips([piece])) & set("PBQ") for piece in sent[len(asks) + 5 :]), "nor does closing"
