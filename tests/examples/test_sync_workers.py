"""`examples/sync_workers.py`: one booking, whatever the threads do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ad_seller.storage.sync import open_url
from examples.sync_workers import approve, book


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/store.db"])
def test_of_many_buyers_one_books_and_all_learn_who(url: str, tmp_path: Path) -> None:
    with open_url(url.format(tmp_path)) as storage, ThreadPoolExecutor(16) as workers:
        storage.set_quote("qt-1", {"status": "available", "buyer_id": None})
        answers = list(workers.map(lambda n: book(storage, "qt-1", f"b{n % 8}", f"R-{n % 8}"), range(32)))
        [winner] = {answer["by"] for answer in answers if answer["booked"]}
        assert {answer["by"] for answer in answers} == {winner}
        assert sum(answer["booked"] for answer in answers) == 4
        assert [deal["buyer_id"] for deal in storage.list_deals()] == [winner]
        assert book(storage, "none", "b", "R") == {"booked": False, "by": None}


def test_of_many_decisions_one_counts() -> None:
    with open_url("memory://") as storage, ThreadPoolExecutor(8) as workers:
        storage.set_order("o", {"status": "submitted"})
        said = list(workers.map(lambda _: approve(storage, "o"), range(8)))
        assert sorted(said) == ["approved", *["it is approved already"] * 7]
        assert len(storage.history("o")) == 1
