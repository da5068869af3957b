"""Temporary files go where the machine has room for them in memory, and nowhere else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests import scratch


def test_a_folder_without_room_or_without_being_is_not_taken(tmp_path: Path) -> None:
    assert scratch.in_memory(tmp_path, room=1)
    assert not scratch.in_memory(tmp_path, room=2**60)
    assert not scratch.in_memory(tmp_path / "missing", room=1)


def test_one_that_forbids_programs_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.statvfs(tmp_path)
    flags = (*found[:8], os.ST_NOEXEC, *found[9:])
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(flags))
    assert not scratch.in_memory(tmp_path, room=1)


def test_a_folder_that_was_named_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = tempfile.gettempdir()
    scratch.use()
    assert (os.environ["TMPDIR"], tempfile.gettempdir()) == (str(tmp_path), before)
