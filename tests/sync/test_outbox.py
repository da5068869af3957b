"""Outboxes without await: the same methods, and working as a plain loop."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from pathlib import Path

from ad_seller.storage import Message, Outbox, TransactionOutbox
from ad_seller.storage.sync import SyncMessage, SyncOutbox, SyncTransactionOutbox, open_url

PAIRS = ((SyncOutbox, Outbox), (SyncTransactionOutbox, TransactionOutbox), (SyncMessage, Message))


def test_the_methods_are_those_of_the_asynchronous_outbox() -> None:
    for blocking, awaited in PAIRS:
        names = {name for name in vars(awaited) if not name.startswith("_")}
        assert {name for name in vars(blocking) if not name.startswith("_")} == names
        for name in names - {"name"}:
            ours, theirs = (inspect.signature(getattr(cls, name)).parameters for cls in (blocking, awaited))
            assert ours == theirs, name


def test_put_work_and_decide(tmp_path: Path) -> None:
    with open_url(f"sqlite:///{tmp_path}/x.db") as storage:
        outbox = storage.outbox("hooks")
        with storage.transaction() as tx:
            first = tx.outbox("hooks").put({"n": 1}, key="a")
        second = outbox.put({"n": 2}, key="a")
        assert (outbox.name, outbox.waiting()) == ("hooks", 2)
        messages = outbox.work(horizon=0.001, idle=0.02)
        with next(messages) as message:
            assert (message.id, message.key, message.attempts) == (first, "a", 0)
            raise OSError("down")
        message = next(messages)
        assert message.id == second
        message.done()
        assert isinstance(messages, Generator)
        messages.close()
        [(aside, record)] = outbox.set_aside().items
        assert (aside, record["value"]) == (first, {"n": 1})
        assert outbox.retry(first)
        messages = outbox.work()
        next(messages).failed("no")
        assert outbox.waiting() == 1
        assert not outbox.drop(first)
