"""What a killed process has left of a file is removed by the next one that makes the file."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ad_seller.storage.operations.files import whole_path

KILLED = (
    "import os, signal, sys; from pathlib import Path; from ad_seller.storage.operations.files import whole_path\n"
    "with whole_path(Path(sys.argv[1])) as part:\n"
    "    Path(f'{part}-journal').touch()\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
)


def aged(part: Path) -> Path:
    """Let it have been made an hour ago."""
    os.utime(part, (part.stat().st_mtime - 3600,) * 2)
    return part


def test_what_was_left_goes_and_what_is_written_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "all[1].jsonl"
    others = [tmp_path / name for name in (".all1.jsonl.a1b2c3d4.part", ".all[1].jsonl.of-others.part")]
    for other in others:
        other.touch()
        aged(other)
    assert subprocess.run([sys.executable, "-c", KILLED, path]).returncode == -9
    [left] = [each for each in tmp_path.glob("*.part") if each not in others]
    aged(left)
    with caplog.at_level(logging.WARNING, "ad_seller.storage"), whole_path(path) as part:
        assert not left.exists()
        aged(part)
        with whole_path(path):
            assert part.exists()
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])
    assert [record.getMessage() for record in caplog.records] == [
        f"Removed {left}: a process was killed while it wrote it"
    ]
