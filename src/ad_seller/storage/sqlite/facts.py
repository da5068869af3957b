"""What a SQLite file and the library say about themselves, for `doctor`."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from .locks import primary_code
from .url import MEMORY

_MOUNTS: Final = Path("/proc/self/mountinfo")
_MOST_COUNTED: Final = 100_000  #: expired entries

_EXPIRED = f"""
    SELECT count(*), min(expires_at) FROM (SELECT expires_at FROM kv_store
        WHERE expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT {_MOST_COUNTED})"""  # noqa: S608


def facts(db: sqlite3.Connection, path: str, now: float, synchronous: str) -> dict[str, Any]:
    """Return what there is to know; "damage" reads the whole file.

    Args:
        db: a connection for reads.
        path: the file.
        now: epoch seconds.
        synchronous: what the connection for writes was opened with.
    """
    expired, oldest = db.execute(_EXPIRED, (now,)).fetchone()
    return {
        "engine": "sqlite",
        "version": sqlite3.sqlite_version,
        "journal_mode": _pragma(db, "journal_mode"),
        "synchronous": synchronous,
        "bytes": int(_pragma(db, "page_count")) * int(_pragma(db, "page_size")),
        "expired": expired,
        "expired_for": max(0.0, now - oldest) if isinstance(oldest, int | float) else 0.0,
        "damage": _damage(db),
        **(_file_facts(os.path.realpath(path)) if path != MEMORY else {}),
    }


def _damage(db: sqlite3.Connection) -> list[str]:
    """Return what SQLite says of damaged pages, at most three sentences."""
    try:
        rows = db.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.DatabaseError as error:
        if primary_code(error) != sqlite3.SQLITE_CORRUPT:
            raise
        return [str(error)]
    return [line.decode(errors="replace") for (line,) in rows if line != b"ok"]


def _pragma(db: sqlite3.Connection, name: str) -> str:
    value = db.execute(f"PRAGMA {name}").fetchone()[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def _file_facts(real: str) -> dict[str, Any]:
    found: dict[str, Any] = {"path": real, "filesystem": _filesystem(real)}
    with suppress(OSError):
        stat = Path(real).stat()
        found |= {"mode": stat.st_mode & 0o777, "owner_is_us": stat.st_uid == os.geteuid()}
        found["log_bytes"] = Path(f"{real}-wal").stat().st_size
    with suppress(OSError):
        import shutil  # costs a millisecond of our start

        found["disk_free"] = shutil.disk_usage(Path(real).parent).free
    return found


def _filesystem(real: str) -> str:
    """Return the type of the file system that a file lies on; "" where the system does not tell.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    best, kind = "", ""
    try:
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        place = before.split(" ")[4].replace("\\040", " ")
        inside = real == place or real.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best, kind = place, after.split(" ")[0]
    return kind
