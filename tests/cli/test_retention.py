"""retention, hold, erase."""

from __future__ import annotations

import json
from pathlib import Path

from ad_seller.storage import sync
from tests.cli.conftest import Invoke
from tests.cli.support import fill

RULES = '[[rules]]\nname = "orders"\nprefix = "order:"\nsince = "at"\nolder_than = "30d"\n'


def test_retention_and_holds(invoke: Invoke, url: str, directory: Path) -> None:
    old = {"at": "2001-01-01T00:00:00Z"}
    fill(url, {"order:1": old, "order:2": old, "order:3": {"at": "2999-01-01"}})
    (directory / "rules.toml").write_text(RULES)
    assert invoke("hold", "case", "order:2").exit_code == 2
    assert invoke("hold", "case", "order:2", "--reason", "litigation").stderr == "held; would have expired: 0\n"
    placed = invoke("hold", "case", "order:2", "--reason", "litigation", "--json").stdout
    assert json.loads(placed) == {"hold": "case", "would_have_expired": 0}
    assert invoke("hold").stdout.startswith("case\torder:2\t")
    looked = invoke("retention", "rules.toml")
    assert looked.stdout.splitlines() == [
        "orders (order:): 2 due, 3 looked at",
        "  the oldest: order:1, 2001-01-01T00:00:00+00:00",
        "  kept, held by case: 1",
    ]
    assert "dry run" in looked.stderr
    assert invoke("count", "order:*").stdout == "3\n"
    with sync.open_url(url) as store, store.lease("{retention}", ttl=30):
        held = invoke("retention", "rules.toml", "--apply")
        assert (held.exit_code, "hint: Wait for the other one" in held.stderr) == (4, True)
    answer = json.loads(invoke("retention", "rules.toml", "--apply", "--json").stdout)
    assert (answer["dry_run"], answer["rules"][0]["removed"], answer["rules"][0]["holds"]) == (False, 1, ["case"])
    assert invoke("keys", "order:*").stdout == "order:2\norder:3\n"
    assert invoke("hold", "case", "--release").exit_code == 0
    again = invoke("hold", "case", "--release", "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (1, {"hold": "case", "released": False})
    assert invoke("retention", "rules.toml", "--apply").stdout.startswith("orders (order:): 1 removed of 1 due")
    assert json.loads(invoke("hold", "--json").stdout) == []
    (directory / "rules.toml").write_text(RULES + RULES)
    done = invoke("retention", "rules.toml", "--apply")
    assert (done.exit_code, "Two rules are called 'orders'" in done.stderr) == (2, True)
    assert invoke("retention", "nowhere.toml").exit_code == 2


def test_erase(invoke: Invoke, url: str, directory: Path) -> None:
    fill(url, {"session:1": {"buyer_id": "b"}, "order:1": {"buyer_id": "b"}, "deal:1": {"buyer_id": "b"}})
    looked = invoke("erase", "b", "--json")
    assert json.loads(looked.stdout)["counts"]["session:"] == {"deleted": 1}
    assert invoke("count").stdout == "3\n"
    done = invoke("erase", "b", "--apply", "--report", "report.json")
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            "session: 1 deleted",
            "order: 1 redacted (commercial record)",
            "deal: 1 kept (commercial record)",
            "still there, redacted: order:1",
            "still there, kept: deal:1",
        ],
    )
    report = json.loads((directory / "report.json").read_text())
    assert json.loads(invoke("get", f"erasure:{report['id']}").stdout) == report
    assert invoke("erase", "b", "--apply", "--report", "report.json").exit_code == 2  # it is not overwritten
    for words in (["b", ""], ["b", "--url", "sqlite:///none.db"]):  # and no place is kept for none
        assert invoke("erase", *words, "--apply", "--report", "next.json").exit_code != 0
        assert not (directory / "next.json").exists()
    fill(url, {"session:2": {"buyer_id": "b"}})
    invoke("hold", "case", "session:*", "--reason", "litigation")
    (directory / "map.toml").write_text('[[rules]]\nprefix = "session:"\nkind = "delete"\nmatch = ["buyer_id"]\n')
    done = invoke("erase", "b", "--map", "map.toml", "--apply")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (1, "session: 1 held")
