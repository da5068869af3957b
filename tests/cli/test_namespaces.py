"""--namespace, and namespace= in a URL: the entries of one publisher."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ad_seller.storage import open_url
from tests.cli.conftest import Invoke
from tests.cli.support import assert_explained, fill, run


def test_the_entries_of_one_publisher(
    invoke: Invoke, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(url, {"deal:1": {"of": "nobody"}})
    fill(f"{url}?namespace=b", {"deal:1": {"of": "b"}, "deal:2": {"of": "b"}})
    for_a = ("--namespace", "a")
    assert invoke(*for_a, "set", "deal:1", '{"of":"a"}').exit_code == 0
    assert invoke("get", "deal:1", "--json", *for_a).stdout == '{"of":"a"}\n'
    assert invoke(*for_a, "count").stdout.split() == ["1"]
    exported = invoke(*for_a, "export", "-").stdout
    assert '"deal:1"' in exported
    assert '"b"' not in exported
    assert "ns:" not in exported
    monkeypatch.setenv("STORAGE_NAMESPACE", "b")
    assert invoke("count").stdout.split() == ["2"]
    saved = str(tmp_path / "saved.db")
    assert invoke("backup", saved).exit_code == 0
    monkeypatch.delenv("STORAGE_NAMESPACE")
    assert invoke("--url", saved, "count").stdout.split() == ["4"]
    assert_explained(run("--url", url, "--namespace", "a", "backup", saved), 2, "as a whole", "--namespace")
    assert_explained(run("--url", url, "--namespace", " ", "count"), 2, "A namespace has a name")
    moved = f"sqlite:///{tmp_path}/b.db"
    assert run("copy", f"{url}?namespace=b", moved, "--checkpoint", str(tmp_path / "c.json")).returncode == 0

    async def all_of(url: str) -> dict[str, object]:
        async with open_url(url) as store:
            return dict((await store.scan()).items)

    assert asyncio.run(all_of(moved)) == {"deal:1": {"of": "b"}, "deal:2": {"of": "b"}}
