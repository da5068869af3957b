"""Effects without await: plain functions in the calling thread, once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    Applied,
    EffectUnknownError,
    InvalidArgumentError,
    NotApplied,
    Reconciled,
    TransactionError,
    WrongThreadError,
)
from ad_seller.storage.sync import SyncStorage, SyncTransaction, open_url


class Orders:
    """Another system, and the threads in which it was called."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.threads: set[int] = set()
        self.seconds = 0.0

    def call(self, effect_id: str) -> int:
        self.threads.add(threading.get_ident())
        self.made.append(effect_id)
        time.sleep(self.seconds)
        return len(self.made)

    def reconcile(self, effect_id: str) -> Reconciled:
        self.threads.add(threading.get_ident())
        return Applied(self.made.index(effect_id) + 1) if effect_id in self.made else NotApplied()

    def order(self, storage: SyncStorage, name: str = "order", **terms: Any) -> Any:
        return storage.effect("book", name, self.call, reconcile=self.reconcile, **terms)


def test_effects(tmp_path: Path) -> None:
    orders = Orders()

    def save(tx: SyncTransaction, number: int) -> None:
        tx.set_deal("D-1", {"order": number})

    def work(tx: SyncTransaction) -> Any:
        return [orders.order(storage), orders.order(storage, "line")]

    with open_url(f"sqlite:///{tmp_path}/store.db") as storage:
        assert [orders.order(storage, then=save) for _ in range(2)] == [1, 1]
        assert storage.get_deal("D-1") == {"order": 1}
        assert [storage.run_once("s", "k", 1, work) for _ in range(2)] == [[1, 2]] * 2
        answer = storage.run_once_detailed("s", "k", 1, work)
        assert (answer.result, answer.replayed) == ([1, 2], True)
        assert orders.threads == {threading.get_ident()}

        orders.seconds = 0.1
        with pytest.raises(EffectUnknownError):  # it cannot be cut off, and reconcile has no thread meanwhile
            orders.order(storage, "slow", timeout=0.02)
        [left] = storage.open_effects()
        assert left.name == "slow"
        assert orders.order(storage, "slow") == 3
        assert not storage.resolve_effect("book", "slow", NotApplied())


def test_where_it_would_wait_for_itself_it_is_refused(tmp_path: Path) -> None:
    orders = Orders()

    async def awaited(effect_id: str) -> int:
        return 1

    with open_url(f"sqlite:///{tmp_path}/store.db") as storage:

        def nested(effect_id: str) -> Any:
            return orders.order(storage)

        with pytest.raises(TransactionError, match="inside of itself"):
            storage.effect("book", "order", nested, reconcile=orders.reconcile)
        with pytest.raises(WrongThreadError):
            storage.update("a", lambda _: orders.order(storage, "other"))
        with pytest.raises(InvalidArgumentError):
            storage.effect("book", "third", awaited, reconcile=orders.reconcile)  # type: ignore[unused-coroutine]
        assert orders.made == []
