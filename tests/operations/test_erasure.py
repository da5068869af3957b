"""Erasure: one buyer's entries are deleted, redacted or kept with a reason, nobody else's, and a report stays."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import InvalidArgumentError, LeaseHeldError, StorageBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import ErasureRule, erase, place_hold, read_map
from ad_seller.storage.operations.erasure_map import DEFAULT_MAP, check_map
from tests.operations.test_repair import CUT, write_raw
from tests.operations.test_retention import until
from tests.runtime.stores import store

__all__ = ["store"]

MINE: dict[str, Any] = {
    "session:1": {"buyer_identity": {"advertiser_id": "adv-1", "seat_id": None}, "messages": ["hello"]},
    "session_index:buyer:advertiser:adv-1": ["1"],
    "proposal:1": {"buyer_id": "adv-1"},
    "quote:1": {"buyer_id": "adv-1"},
    "quote_history:1": {"buyer_id": "adv-1"},
    "quote_history_index:advertiser:adv-1:inv": ["1"],
    "agent:adv-1": {},
    "agent_url_index:https://x": "adv-1",
    "api_key:abc": {"identity": {"seat_id": "seat-9"}},
    "idempotency:quote:advertiser:adv-1:q0": {},
}
OTHERS: dict[str, Any] = {
    "session:2": {"buyer_identity": {"advertiser_id": "adv-10", "seat_id": None}},
    "session:3": "adv-1",
    "session_index:buyer:advertiser:adv-10": ["2"],
    "session_index:buyer:advXadv-1x": ["2"],
    "proposal:2": {"buyer_id": ["adv-1"]},
    "quote_history_index:advertiser:adv-10:adv-1": ["2"],
    "agent_url_index:https://y": "adv-10",
    "idempotency:quote:advertiser:adv-10:adv-1": {},
    "note": {"buyer_id": "adv-1"},
}
ORDER = {
    "order_id": "1", "buyer_id": "adv-1", "status": "booked", "metadata": {"contact": "me@x"},
    "audit_log": {"transitions": [{"actor": "me@x", "to": "draft"}, {"actor": "you", "to": "booked"}]},
}  # fmt: skip


async def test_one_buyer(store: StorageBackend) -> None:
    async with store:
        await store.set_many({**MINE, **OTHERS, "deal:1": {"buyer_id": "adv-1", "status": "closed"}})
        await store.set("order:1", ORDER, ttl=500)
        before = await store.count()
        dry = await erase(store, ["adv-1", "seat-9"], pause=0)
        assert (dry.dry_run, dry.is_complete, await store.count()) == (True, True, before)
        done = await erase(store, ["adv-1", "seat-9"], dry_run=False, pause=0)
        assert done.counts == dry.counts
        assert done.counts["session:"] == {"deleted": 1}
        assert sum(counts["deleted"] for counts in done.counts.values()) == len(MINE)

        assert await store.get_many(MINE) == {}
        assert await store.get_many(OTHERS) == OTHERS
        order = await store.get("order:1")
        assert order == {
            **ORDER, "buyer_id": "[erased]", "metadata": "[erased]",
            "audit_log": {"transitions": [{"actor": "[erased]", "to": to} for to in ("draft", "booked")]},
        }  # fmt: skip
        left = await store.ttl("order:1")
        assert left is not None and left > 400  # noqa: PT018
        assert await store.get("deal:1") == {"buyer_id": "adv-1", "status": "closed"}

        report: Any = await store.get(f"erasure:{done.id}")
        assert report == done.as_dict()
        assert report["remaining"] == {"redacted": ["order:1"], "kept": ["deal:1"]}
        assert report["reasons"] == {"order:": "commercial record", "deal:": "commercial record"}
        assert (report["complete"], report["dry_run"], report["ended"] is not None) == (True, False, True)
        assert "adv-1" not in json.dumps(report)
        assert hashlib.sha256(b"adv-1").hexdigest() in report["buyer"]
        again = await erase(store, ["adv-1", "seat-9"], dry_run=False, pause=0)
        assert {prefix: dict(counts) for prefix, counts in again.counts.items() if counts} == {"deal:": {"kept": 1}}


async def test_what_is_held_or_needed_is_left_and_told() -> None:
    async with MemoryBackend() as store:
        await store.set_many({**MINE, "deal:1": {"status": "active", "quote_id": "1"}})
        await write_raw(store, {"proposal:1": CUT})
        await place_hold(store, "case", ["session:*"], reason="litigation")
        done = await erase(store, "adv-1", dry_run=False, pause=0)
        assert (done.is_complete, done.holds) == (False, {"case"})
        assert done.remaining == {"held": ["session:1"], "referred": ["quote:1"], "unreadable": ["proposal:1"]}
        assert await store.exists("session:1")
        assert await store.exists("quote:1")


async def test_an_interruption_leaves_a_report_and_can_be_gone_on_with() -> None:
    async with MemoryBackend() as store:
        await store.set_many({f"session:{n:04}": {"buyer_id": "b"} for n in range(300)})
        task = asyncio.create_task(erase(store, "b", dry_run=False, pause=60))
        await until(lambda: store.count("session:*"), 200)
        with pytest.raises(LeaseHeldError):
            await erase(store, "b", dry_run=False)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 0 < await store.count("session:*") < 300
        [(_, report)] = (await store.scan("erasure:*")).items
        assert (report["ended"], report["complete"]) == (None, False)
        done = await erase(store, "b", dry_run=False, pause=0)
        assert (done.is_complete, await store.count("session:*")) == (True, 0)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([ErasureRule("x:", "keep", match=("b",))], "without a reason"),
        ([ErasureRule("x:", "redact", match=("b",))], "redacts nothing"),
        ([ErasureRule("x:", "delete", match=("b",), redact=("c",))], "is to delete"),
        ([ErasureRule("x:", "delete")], "which entries"),
        ([ErasureRule("x:", "delete", keys=("x:*",))], "all buyers"),
        ([ErasureRule("x:", "forget", match=("b",))], "there are delete, redact, keep"),  # type: ignore[arg-type]
        ([ErasureRule("x:", "delete", match=("b..c",))], r"'x:' has match='b\.\.c': match is a field"),
        ([ErasureRule("x:", "redact", match=("b",), redact=("c.",))], r"'x:' has redact='c\.': redact is a field"),
        ([ErasureRule("x\0", "delete", match=("b",))], r"'x.x00' has prefix='x.x00': A key must not contain NUL"),
        ([ErasureRule("", "delete", match=("b",))], "'' has prefix='': A key must not be empty"),
        ([ErasureRule("x" * 3_000, "delete", match=("b",))], "has prefix='xxx.*at most 2048 bytes"),
        ([ErasureRule("x:", "delete", keys=("x:{buyer}\0",))], r"'x:' has keys='x:{buyer}.x00': No key has a NUL"),
        ([ErasureRule("x:", "delete", keys=("{buyer}\ud800",))], r"'x:' has keys='{buyer}.ud800': .*surrogates"),
        ([ErasureRule("x:", "delete", keys=("{buyer}" + "x" * 4_090,))], "'x:' has keys=.*at most 4096 characters"),
        (
            [ErasureRule("x:", "delete", keys=("{buyer}" + "x" * 4_088,))],
            "'x:', and 'adv-00001': it has keys=.* at most",
        ),
        ([ErasureRule("x:", "keep", match=("b",), reason="a\ud800")], "'x:' has reason=.*lone surrogate"),
        ([ErasureRule("x:", "delete", match="buyer_id")], "match='buyer_id', which is no list"),  # type: ignore[arg-type]
        ([ErasureRule("x:", "delete", keys=(5,))], "keys=.*, which is no list of texts"),  # type: ignore[arg-type]
        ([ErasureRule("x:", "keep", match=("b",), reason=5)], "reason=5, which is no text"),  # type: ignore[arg-type]
        ([ErasureRule("retention:", "delete", match=("case.reason",))], "where the holds stand"),
        ([ErasureRule("ns:publisher-a:order:", "delete", match=("buyer",))], "reaches into namespaces"),
        (
            [ErasureRule("x:", "delete", match=("b",)), ErasureRule("x:y:", "keep", match=("b",), reason="law")],
            "contradict each other",
        ),
    ],
)
async def test_maps_that_are_refused(rules: list[ErasureRule], words: str) -> None:
    async with MemoryBackend() as store:
        await store.set("x:1", {"b": "adv-00001"})
        with pytest.raises(InvalidArgumentError, match=words):
            await erase(store, "adv-00001", rules=rules, dry_run=False)
        assert await store.keys() == ["x:1"]
        for bad in ("", " ", [], [5], None):
            with pytest.raises(InvalidArgumentError, match="A buyer is"):
                await erase(store, bad, dry_run=False)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match=r"The buyer has id='a.ud800'"):
            await erase(store, ["b", "a\ud800"])


def test_the_map_of_a_file(tmp_path: Path) -> None:
    assert check_map(DEFAULT_MAP) == list(DEFAULT_MAP)
    file = tmp_path / "map.toml"
    file.write_text('[[rules]]\nprefix = "x:"\nkind = "redact"\nmatch = ["b"]\nredact = ["c.*"]\n')
    assert read_map(file) == [ErasureRule("x:", "redact", match=("b",), redact=("c.*",))]
    whole = ErasureRule("x:", "redact", match=("b",), keys=("x:{buyer}",), redact=("c.*",), reason="law")
    (tmp_path / "map.json").write_text(json.dumps({"rules": [asdict(whole)]}))
    assert read_map(tmp_path / "map.json") == [whole]
    file.write_text("[[rules]]\nprefix = 'x:'\nkind = 'delete'")
    with pytest.raises(InvalidArgumentError, match="'x:' says by no match"):
        read_map(file)
    for text in ("", "x = ", "[[rules]]\nprefix = 'x:'", "[[rules]]\nprefix = 'x:'\nkind = 'keep'\nmatch = 'b'"):
        file.write_text(text)
        with pytest.raises(InvalidArgumentError):
            read_map(file)
