"""`follow` prints what a log has and gets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from ad_seller.storage.sync import open_url
from tests import warm

from .support import COMMAND, assert_explained, run


def test_entries_come_as_they_are_appended_until_the_limit(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with open_url(url) as storage:
        log = storage.log("event", by=["kind"])
        ids = [log.append({"kind": "a", "n": n}) for n in range(2)]
        done = run("--url", url, "follow", "event", "--all", "--limit", "2")
        assert done.stdout.splitlines() == [f'{ids[n]}\t{{"kind":"a","n":{n}}}' for n in range(2)]
        done = run("--url", url, "--json", "follow", "event", "--all", "--limit", "1")
        cursor = json.loads(done.stdout)["cursor"]
        command = [*COMMAND, "--url", url, "--json", "follow", "event", "--since", cursor, "--filter", "kind=b"]
        with warm.Popen([*command, "--limit", "1"], stdout=subprocess.PIPE, text=True) as following:
            last = log.append({"kind": "b", "n": 9})
            assert following.stdout is not None
            assert json.loads(following.stdout.read())["id"] == last
        assert following.returncode == 0


def test_bad_cursors_and_missing_stores_are_explained(tmp_path: Path) -> None:
    with open_url(f"sqlite:///{tmp_path}/x.db") as storage:
        storage.set("a", 1)
    url = f"sqlite:///{tmp_path}/x.db"
    assert_explained(run("--url", url, "follow", "event", "--since", "x"), 2, "Not a cursor")
    assert_explained(run("--url", f"{url}.other.db", "follow", "event"), 1, "not found")
