"""The comparison of `benchmarks.moves` is to find what a move must not do."""

from __future__ import annotations

import time

from benchmarks.moves import compared
from benchmarks.moves_writers import Acknowledged, Held


def test_what_a_move_did_wrong_is_counted_by_kind() -> None:
    now = time.time()
    wanted: Acknowledged = {
        "lost": Held(1),
        "lost, with a deadline": Held(1, now + 60, now + 60.1),
        "stale": Held(1),
        "late": Held(1, now + 60, now + 60.1),
        "no deadline any more": Held(1, now + 60, now + 60.1),
        "deleted": Held(None),
        "over": Held(1, now - 20, now - 19),
        "as it should be": Held(1, now + 60, now + 60.1),
        "over, too": Held(1, now - 20, now - 19),
        "gone": Held(None),
    }
    found: Acknowledged = {
        "stale": Held(2),
        "late": Held(1, now + 30, now + 30),
        "no deadline any more": Held(1),
        "deleted": Held(1),
        "over": Held(1),
        "as it should be": Held(1, now + 60.115, now + 60.115),
        "over, too": Held(1, now - 20, now - 20),
        "of nobody": Held(1),
    }
    told = compared(wanted, found)
    assert {kind: told[kind] for kind in ("lost", "stale", "late", "more")} == {
        "lost": 2,
        "stale": 1,
        "late": 2,
        "more": 3,
    }
    assert sorted(each.partition(":")[0] for each in told["named"]["more"]) == ["deleted", "of nobody", "over"]
