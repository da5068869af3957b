"""Logs without await: the same methods, and following as a plain loop."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from pathlib import Path

from ad_seller.storage import Log, TransactionLog
from ad_seller.storage.sync import SyncLog, SyncTransactionLog, open_url


def test_the_methods_are_those_of_the_asynchronous_log() -> None:
    for blocking, awaited in ((SyncLog, Log), (SyncTransactionLog, TransactionLog)):
        names = {name for name in vars(awaited) if not name.startswith("_")}
        assert {name for name in vars(blocking) if not name.startswith("_")} == names
        for name in names - {"name"}:
            ours, theirs = (inspect.signature(getattr(cls, name)).parameters for cls in (blocking, awaited))
            assert ours == theirs, name


def test_append_read_trim_and_follow(tmp_path: Path) -> None:
    with open_url(f"sqlite:///{tmp_path}/x.db") as storage:
        log = storage.log("event", by=["kind"])
        start = log.now()
        first = log.append({"kind": "a", "n": 1})
        with storage.transaction() as tx:
            second = tx.log("event", by=["kind"]).append({"kind": "b", "n": 2})
        assert log.name == "event"
        assert log.get(first) == {"kind": "a", "n": 1}
        assert log.read(kind="b").items == [(second, {"kind": "b", "n": 2})]
        storage.set("old:1", {"kind": "a", "n": 0, "at": "2026-01-01T00:00:00Z"})
        assert log.take_in("old:*", at="at").added == 1
        assert [value["n"] for _, value in log.read(newest=True).items] == [2, 1, 0]
        entries = log.follow(start)
        assert [next(entries).id, next(entries).id] == [first, second]
        assert isinstance(entries, Generator)
        entries.close()
        assert log.trim(3600) == 1
