"""Where tests put their files: in memory, where the machine has a folder for that.

Most of what a test of a SQLite file waits for is the disk, and nothing that a test can see depends on it: a process
that is ended by SIGKILL leaves the same in either. A folder that is set by TMPDIR stays what it is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30  #: bytes; a whole run leaves 1 GB, of which servers have a half


def in_memory(folder: Path = MEMORY, room: int = _ROOM) -> bool:
    """Tell whether a folder in memory takes what the tests write, programs that they run included."""
    try:
        runs = not os.statvfs(folder).f_flag & os.ST_NOEXEC
        free = min(shutil.disk_usage(folder).free, psutil.virtual_memory().available // 2)
    except OSError:
        return False
    return runs and free >= room and os.access(folder, os.W_OK | os.X_OK)


def use() -> None:
    """Have this process, and all that it starts, make temporary files there."""
    if "TMPDIR" not in os.environ and in_memory():
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
