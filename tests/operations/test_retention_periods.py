"""Retention with periods, and trimming up to times, of which one thinks of none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ad_seller.storage import InvalidArgumentError, StorageBackend
from ad_seller.storage.operations import RetentionRule
from tests.operations.test_retention import ORDERS, applied, order
from tests.runtime.stores import store

__all__ = ["store"]


@pytest.mark.parametrize("period", [1e12, 1.7e308])
async def test_periods_longer_than_all_that_is_kept(store: StorageBackend, period: float) -> None:
    """Nothing is due, of a log, an outbox and records; and no time before 1970 is told to anybody."""
    async with store:
        log = store.log("audit", by=("who",))
        await log.append({"who": "a"})
        await store.log("other", by=("who",)).append({"who": "a"})
        await store.set_many({"order:1": order(100), "order:2": order(50)})
        rules = [
            RetentionRule("audit", log="audit", by=("who",), older_than=period),
            RetentionRule("few", log="other", by=("who",), keep_newest=0, minimum_age=period),
            replace(ORDERS, older_than=period),
            RetentionRule("events", outbox="events", older_than=period),
        ]
        for done in (await applied(store, rules)).values():
            assert (done.due, done.removed) == (0, 0)
        assert len((await log.read()).items) == 1
        for moment in (float("-inf"), -1e306):
            assert await log.trim_up_to(moment) == 0
        with pytest.raises(InvalidArgumentError, match="nan"):
            await log.trim_up_to(float("nan"))
        for moment in (float("inf"), 1e306):
            with pytest.raises(InvalidArgumentError, match="earlier"):
                await log.trim_up_to(moment)
