"""`adopt` looks at the entries of the master that the sentinels name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ad_seller.storage.cli.adopt.data import look
from ad_seller.storage.testing.redis_groups import SentinelGroup
from ad_seller.storage.testing.redis_nodes import ask


def test_the_master_is_read(group: SentinelGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(group.master(), "SET", "ad_seller:deal:1", "{}")
    monkeypatch.setenv("STORAGE_TYPE", "redis")
    monkeypatch.setenv("REDIS_URL", group.url)
    found = look(tmp_path, None)
    assert (found.problem, found.counts) == (None, {"deal:": 1})


def test_what_is_named_wrongly(group: SentinelGroup, tmp_path: Path) -> None:
    other = look(tmp_path, group.url.replace("mymaster", "other")).problem
    assert other is not None
    assert "no service 'other'" in other
    itself = look(tmp_path, group.sentinels[0].url).problem
    assert itself is not None
    assert "a Sentinel, which has no entries" in itself
    assert "redis+sentinel://" in itself
