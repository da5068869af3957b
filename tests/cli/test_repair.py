"""repair."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.cli.conftest import Invoke
from tests.cli.support import fill


def damage(directory: Path, key: str, text: str) -> None:
    with sqlite3.connect(directory / "store.db") as db:
        db.execute("UPDATE kv_store SET value = ? WHERE key = ?", (text, key))
    db.close()


def test_repair(invoke: Invoke, url: str, directory: Path) -> None:
    fill(url, {"deal:1": 1, "deal:2": 2, "quote:3": 3})
    assert (invoke("repair").exit_code, invoke("repair").stdout) == (0, "")
    damage(directory, "deal:1", '{"cpm": NaN}')
    damage(directory, "quote:3", "postgres://me:s3cret@host \x1b[31m")
    assert invoke("list", "deals").exit_code == 4

    looked = invoke("repair", "--dry-run")
    assert (looked.exit_code, looked.stderr) == (4, "2 of the values could not be read.\n")
    assert looked.stdout.startswith("deal:1\tcannot be read: NaN is not JSON\nquote:3\tcannot be read: ")

    assert "deal:1\thas null now" in invoke("repair", "deal:*", "--nulls").stdout
    assert json.loads(invoke("get", "deal:1").stdout) == {"cpm": None}
    done = invoke("repair", "--json")
    [item] = json.loads(done.stdout)["items"]
    assert done.exit_code == 0
    assert (item["key"], item["what"], item["to"]) == ("quote:3", "set aside", "damaged:quote:3")
    assert "s3cret" not in done.output
    assert invoke("list", "quotes").exit_code == 0


def test_a_key_for_which_there_is_no_room_is_left(invoke: Invoke, url: str, directory: Path) -> None:
    fill(url, {"k" * 2_048: 1})
    damage(directory, "k" * 2_048, "{")
    done = invoke("repair")
    assert done.exit_code == 4
    assert "was left as it is" in done.stdout
