"""views."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.cli.conftest import Invoke
from tests.cli.support import fill


def test_views(invoke: Invoke, url: str, directory: Path) -> None:
    fill(url, {"order:1": {"status": "draft"}})
    printed = invoke("views")
    assert (printed.exit_code, printed.stdout.count("CREATE VIEW")) == (0, 12)
    made = invoke("views", "create")
    assert made.stdout.splitlines()[5] == "seller_orders"
    assert made.stderr == "12 views are there\n"
    with sqlite3.connect(directory / "store.db") as db:
        assert db.execute("SELECT order_id, status FROM seller_orders").fetchall() == [("1", "draft")]
    db.executescript(printed.stdout.replace("VIEW seller_", "VIEW IF NOT EXISTS seller_"))
    db.close()
    assert len(json.loads(invoke("views", "drop", "--json").stdout)) == 12
    assert invoke("views", "drop").stderr == "0 views were removed\n"
    assert invoke("--url", "memory://", "views").exit_code == 4
