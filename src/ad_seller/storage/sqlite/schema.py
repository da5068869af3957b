"""The table of the SQLite backend: what it must look like, and how it is made.

It is the one that older seller agents use: ``kv_store(key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at
REAL)``, with one more column. They can read what is written here, and the reverse.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable
from typing import Any

from ..errors import MissingStoreError, StoreUnavailableError
from .fields import FieldIndexes, is_other
from .locks import is_locked, take_write_lock

_CREATE = {
    "kv_store": (
        "CREATE TABLE IF NOT EXISTS kv_store "
        "(key TEXT PRIMARY KEY, value TEXT NOT NULL, expires_at REAL, size INTEGER)"
    ),
    # Partial, so that entries without expiry pay nothing for it.
    "kv_store_expiry": (
        "CREATE INDEX IF NOT EXISTS kv_store_expiry ON kv_store (expires_at) WHERE expires_at IS NOT NULL"
    ),
}

_EXPIRY = "kv_store_expiry"
_OURS = _CREATE["kv_store"].replace("IF NOT EXISTS ", "", 1)  #: as SQLite keeps it

log = logging.getLogger("ad_seller.storage")


def has_expired(expires_at: object, now: float) -> bool:
    """Tell whether ``expires_at`` of a row is over, as SQLite compares: never, if it is null or a foreign text."""
    return isinstance(expires_at, float | int) and expires_at <= now


def prepare(
    db: sqlite3.Connection, path: str, fields: FieldIndexes, *, synchronous: str, patience: float, create: bool
) -> None:
    """Switch to WAL and create what is missing; writes nothing if all is there, or if the file does not fit.

    Args:
        db: a new connection.
        path: the file, for the error.
        fields: the indexes that there are to be; others of ours are dropped.
        synchronous: FULL or NORMAL.
        patience: seconds to wait for others that hold a lock.
        create: whether a table is made where there is none, and indexes are made and dropped.

    Raises:
        MissingStoreError: there is none, and none is to be made.
        StoreUnavailableError: the file holds a table of this name that is not ours.
        sqlite3.OperationalError: locked for longer than that, or not writable.
    """
    known = _known(db)
    is_ours = known.get("kv_store") == _OURS
    misfit = _misfit(db, is_ours=is_ours)
    if misfit is not None:
        raise StoreUnavailableError(f"{path!r} cannot be used: {misfit}. Nothing was changed; name another file.")
    if not create and "kv_store" not in known:
        raise MissingStoreError(
            f"The store was not found: {path!r} has no table kv_store; no agent has used this SQLite file."
        )
    _switch_to_wal(db, patience)
    db.execute(f"PRAGMA synchronous = {synchronous}")
    is_new = "kv_store" not in known
    if not is_new and not is_ours:
        _add_size(db)
    wanted = _CREATE | fields.statements if create else _CREATE
    if create:
        _drop_unwanted(db, path, known, fields)
    missing = [name for name in wanted if name not in known]
    if missing:
        taken = _taken(db, path, missing)
        missing = [name for name in missing if name not in taken]
    # A new file gets all at once. On one with entries each index is a transaction of its own, so that others can
    # write in between: 0.2 s for 100,000 orders among 600,000 entries (docs/design.md).
    for part in [missing] if is_new else [[name] for name in missing]:
        db.execute("BEGIN IMMEDIATE")
        for name in part:
            db.execute(wanted[name])
        db.execute("COMMIT")


def _known(db: sqlite3.Connection) -> dict[str, str]:
    """Return our table and its indexes, with the statement that made each."""
    rows = db.execute(
        "SELECT name, sql FROM sqlite_master "
        "WHERE name LIKE 'kv_store%' AND (name = 'kv_store' OR type = 'index' AND lower(tbl_name) = 'kv_store')"
    )
    return {name.decode().lower(): (sql or b"").decode() for name, sql in rows}


def _taken(db: sqlite3.Connection, path: str, wanted: Iterable[str]) -> set[str]:
    """Return the names of indexes under which something else stands, and say so; searches are right without."""
    rows = db.execute(
        "SELECT lower(name), type FROM sqlite_master WHERE name LIKE 'kv_store_%' AND "
        "type IN ('table', 'view', 'index') AND NOT (type = 'index' AND lower(tbl_name) = 'kv_store')"
    )
    others = {name.decode(): kind.decode() for name, kind in rows}
    taken = others.keys() & set(wanted)
    for name in sorted(taken):
        log.warning(
            "%s: the index %s cannot be made: the name is taken by another %s, which is not ours. Until that is "
            "renamed, searches by the field read all records of their kind.",
            path,
            name,
            others[name],
        )
    return taken


def _drop_unwanted(db: sqlite3.Connection, path: str, known: dict[str, str], fields: FieldIndexes) -> None:
    """Drop indexes that are declared no longer, and those that an earlier version or somebody defined otherwise."""
    unwanted = list(filter(fields.is_unwanted, known))
    for name in {*unwanted, *_outdated(known, fields)}:
        db.execute(f"DROP INDEX IF EXISTS {name}")
        del known[name]
    if unwanted:
        log.info(
            "%s: dropped indexes that nobody declares, so that writes do not pay for them: %s. Who needs one "
            "declares it: indexes=[Index(kind, field)], or STORAGE_INDEXES.",
            path,
            ", ".join(sorted(unwanted)),
        )


def _outdated(known: dict[str, str], fields: FieldIndexes) -> dict[str, str]:
    """Return the indexes that are something else than their names say."""
    return {
        name: statement
        for name, statement in known.items()
        if fields.is_outdated(name, statement) or (name == _EXPIRY and is_other(_CREATE[name], statement))
    }


def index_facts(db: sqlite3.Connection, fields: FieldIndexes) -> dict[str, Any]:
    """Return which indexes are missing or something else, and what those are; of namespaces only the latter."""
    known = _known(db)
    wrong = _outdated(known, fields)
    missing = {_EXPIRY, *fields.statements} - (known.keys() - wrong.keys())
    return {"missing_indexes": sorted({*missing, *wrong}), "wrong_indexes": wrong}


def mending(db: sqlite3.Connection, path: str, fields: FieldIndexes) -> list[list[str]]:
    """Return for each index that is missing or something else the statements that make it, anew."""
    found = index_facts(db, fields)
    names, wrong = found["missing_indexes"], found["wrong_indexes"]
    taken = _taken(db, path, names)
    return [
        [*([f"DROP INDEX IF EXISTS {name}"] if name in wrong else []), fields.statement_of(name) or _CREATE[name]]
        for name in names
        if name not in taken
    ]


def _add_size(db: sqlite3.Connection) -> None:
    """Add our column to an older table: this changes one line of the schema, and no row."""
    if _has_size(db):
        return
    db.execute("BEGIN IMMEDIATE")
    if not _has_size(db):  # another process may have been faster
        db.execute("ALTER TABLE kv_store ADD COLUMN size INTEGER")
    db.execute("COMMIT")


def _has_size(db: sqlite3.Connection) -> bool:
    return any(row[1] == b"size" for row in db.execute("PRAGMA table_info(kv_store)"))


def _misfit(db: sqlite3.Connection, *, is_ours: bool) -> str | None:
    """Return what is wrong with a table of our name, or None; one that we made fits."""
    encoding = db.execute("PRAGMA encoding").fetchone()[0]
    if is_ours and encoding == b"UTF-8":
        return None
    kind = db.execute("SELECT type FROM sqlite_master WHERE name = 'kv_store'").fetchone()
    if kind is None and encoding == b"UTF-8":
        return None
    if encoding != b"UTF-8":
        return f"it is encoded in {encoding.decode()}, not UTF-8"
    if kind[0] != b"table":
        return f"kv_store is a {kind[0].decode()}, not a table"
    columns = {row[1]: row for row in db.execute("PRAGMA table_info(kv_store)")}
    missing = {b"key", b"value", b"expires_at"} - columns.keys()
    if missing:
        return f"kv_store has no column {b', '.join(sorted(missing)).decode()}"
    if not _is_unique(db, columns):
        return "the column key of kv_store is neither primary key nor unique"
    for name, (_, _, _, required, default, _) in columns.items():
        if required and default is None and name not in (b"key", b"value"):
            return f"kv_store has a further column {name.decode()} that must be given"
    return None


def _is_unique(
    db: sqlite3.Connection, columns: dict[bytes, tuple[int, bytes, bytes, int, bytes | None, int]]
) -> bool:
    if [name for name, row in columns.items() if row[5]] == [b"key"]:
        return True
    for index in db.execute("PRAGMA index_list(kv_store)").fetchall():
        parts = db.execute("SELECT name FROM pragma_index_info(?)", (index[1].decode(),)).fetchall()
        if index[2] and not index[4] and parts == [(b"key",)]:
            return True
    return False


def _switch_to_wal(db: sqlite3.Connection, patience: float) -> None:
    """Make the log a WAL; SQLite does not apply its busy time-out to this switch, so the wait is ours."""
    give_up = time.monotonic() + patience
    while db.execute("PRAGMA journal_mode").fetchone()[0] not in (b"wal", b"memory"):
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return  # also if the file system cannot do it: SQLite then keeps its older, slower log


def make_index(db: sqlite3.Connection, statements: Iterable[str]) -> None:
    """Make an index that is needed from now on, in a transaction of its own.

    Raises:
        NotStartedError: others hold the write lock; nothing was made.
    """
    take_write_lock(db)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()  # or SQLite may refuse by a schema that is out of date
        for statement in statements:
            db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
