"""`outbox` shows what waits and what was set aside, and does what the operator decides."""

from __future__ import annotations

import json
from pathlib import Path

from ad_seller.storage.sync import open_url

from .support import assert_explained, run


def test_an_operator_looks_and_decides(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with open_url(url) as storage:
        outbox = storage.outbox("hooks")
        ids = [outbox.put({"n": n}, key=f"k{n}") for n in range(3)]
        messages = outbox.work(horizon=0.001, idle=0.02)
        while len(outbox.set_aside().items) < 3:
            next(messages).failed("HTTP 500")
        waiting = outbox.put("x")
    shown = json.loads(run("--url", url, "--json", "outbox", "show", "hooks").stdout)
    assert shown["waiting"] == 1
    assert [(each["id"], each["error"]) for each in shown["set_aside"]] == [(one, "HTTP 500") for one in ids]
    done = run("--url", url, "outbox", "show", "hooks")
    assert done.stdout.splitlines()[0] == f'{ids[0]}\tHTTP 500\t{{"n":0}}'
    assert "1 waiting" in done.stderr
    assert run("--url", url, "outbox", "retry", "hooks", ids[0]).stdout.split() == [ids[0]]
    done = run("--url", url, "outbox", "drop", "hooks", ids[0], ids[1])
    assert (done.returncode, done.stdout.split()) == (1, [ids[1]])
    assert "not set aside" in done.stderr
    assert run("--url", url, "outbox", "retry", "hooks", "--all").stdout.split() == [ids[2]]
    with open_url(url) as storage:
        left = {storage.outbox("hooks").waiting(), len(storage.outbox("hooks").set_aside().items)}
        assert left == {3, 0}
        assert waiting
    assert_explained(run("--url", url, "outbox", "drop", "hooks"), 2, "Name messages, or take --all")
