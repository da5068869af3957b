"""The tables of the PostgreSQL backend: their versions, and the take-over of an older agent's table.

Whoever connects first sets up what is missing, in one transaction under an advisory lock, so that an
interrupted set-up leaves nothing and several instances can start at the same time. If all is there, nothing is
written and no privilege but those on the tables is needed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import asyncpg

from ..errors import MissingStoreError, StoreUnavailableError
from .fields import CREATE_FIELD_FUNCTION, EXPIRY, INDEXES_THERE, TableIndex
from .indexes import described
from .standing import HAS_COLUMNS, refuse_others
from .statements import COMMIT_FUNCTION, COMMIT_SIGNATURE, CREATE_COMMIT_FUNCTION, TABLE
from .takeover import (
    OLD_RECORD,
    OLD_TABLE,
    RECORD,
    SCHEMA_TABLE,
    WRITES,
    TakeOver,
    take_over,
    take_over_again,
    warn_of_writes,
)

log = logging.getLogger("ad_seller.storage")

OLDEST_SERVER: Final = 130000

#: What every write needs, whatever its name.
UNIQUE_KEY: Final = f"the unique index of {TABLE} (key)"


def _is_unique(table: str, column: str) -> str:
    """Return the condition that a table has an index for ON CONFLICT, by which rows are found in order, too."""
    return f"""EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum::text = indkey::text
            JOIN pg_opclass ON pg_opclass.oid = indclass[0]
            WHERE indrelid = to_regclass('{table}') AND attname = '{column}' AND indisunique AND indisvalid
                AND indimmediate AND indpred IS NULL AND opcdefault AND indcollation[0] = attcollation)"""


def _make_unique(table: str, column: str) -> str:
    """Return a statement that makes such an index, under a name that is free; new tables have theirs.

    `pg_restore -t` leaves it out, and no write works without.
    """
    make = f"CREATE UNIQUE INDEX ON {table} ({column})"
    return f"DO $do$ BEGIN IF NOT {_is_unique(table, column)} THEN {make}; END IF; END $do$"


#: What leads from each version to the next; a database without our tables is at version 0. Each statement leaves
#: alone what is there: where something is missing, all of them run again.
MIGRATIONS: Final = (
    (
        f"""CREATE TABLE IF NOT EXISTS {SCHEMA_TABLE} (
            name text PRIMARY KEY,
            value text NOT NULL,
            at timestamptz NOT NULL DEFAULT now())""",
        f"""CREATE TABLE IF NOT EXISTS {TABLE} (
            key text COLLATE "C" PRIMARY KEY,
            value text COLLATE "C" NOT NULL,
            expires_at timestamptz)""",
        _make_unique(SCHEMA_TABLE, "name"),
        _make_unique(TABLE, "key"),
        EXPIRY.create(),
        CREATE_COMMIT_FUNCTION,
        CREATE_FIELD_FUNCTION,  # an older database of this version lacks it; see `indexes`
    ),
)
VERSION: Final = len(MIGRATIONS)

#: Any number that nobody else uses.
_LOCK = 0x6164_5F73_656C  # "ad_sel"
_LOCK_PAUSE = 0.05  #: seconds between two looks whether another instance has finished
_LOCK_PATIENCE = 12  #: how many times the time-out to wait for it

#: Not to_regclass() for what is created, which inside a transaction does not notice what others made meanwhile.
_FACTS = f"""
    SELECT current_setting('server_version_num')::int AS server,
        current_setting('server_encoding') AS encoding,
        current_setting('transaction_isolation') AS isolation,
        ARRAY(SELECT relname::text FROM pg_class
            WHERE relname IN ('{TABLE}', '{SCHEMA_TABLE}', '{OLD_TABLE}') AND pg_table_is_visible(oid)
                AND (relkind IN ('r', 'p') OR relname = '{OLD_TABLE}')) AS tables,
        EXISTS (SELECT FROM pg_proc
            WHERE oid = to_regprocedure('{COMMIT_SIGNATURE}') AND prorettype = 'record'::regtype) AS has_function,
        {_is_unique(TABLE, "key")} AS has_unique_key,
        ({HAS_COLUMNS}) AS has_columns,
        ({INDEXES_THERE}) AS indexes,
        ({WRITES}) AS old_writes,
        ARRAY[current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')]
            AS durability"""  # noqa: S608
_RECORDS = f"SELECT ARRAY(SELECT ARRAY[name, value] FROM {SCHEMA_TABLE}) AS records"  # noqa: S608
#: Both in one round trip, where our tables are: each costs a connect as much as a read costs a caller.
_BOTH = f"{_FACTS}, ({_RECORDS}) AS records"

#: Runs one statement and returns its rows.
Fetch = Callable[..., Awaitable[list[Any]]]


class Found(NamedTuple):
    """What is there, looked at and not only recorded: a restore may have left something out.

    Attributes:
        version: of our tables.
        has_table: whether there is the one with the entries.
        has_columns: whether our tables have all that they need.
        missing: what was recorded as set up and is not there.
        has_old_table: whether there is one of an older agent.
        old_table_waits: whether it is still to be taken over.
        old_writes: how many rows of it the server has seen written; None: there is none.
        indexes: of the table, and what the server defines each as; "": it cannot be used.
        durability: the settings that `facts.doubts_about` judges.
    """

    version: int
    has_table: bool
    has_columns: bool
    missing: tuple[str, ...]
    has_old_table: bool
    old_table_waits: bool
    old_writes: int | None
    indexes: dict[str, str]
    durability: tuple[str, str, str]

    @property
    def is_ready(self) -> bool:
        """Whether nothing is to be set up."""
        return self.version == VERSION and self.has_columns and not self.missing and not self.old_table_waits


async def set_up(fetch: Fetch, timeout: float, indexes: tuple[TableIndex, ...], *, create: bool) -> Found:
    """Create or renew what is missing in the database, and take over an older agent's table; return what is there.

    Args:
        fetch: runs statements on one connection, which the caller closes if this fails or is cancelled.
        timeout: seconds that one answer of the server takes at most.
        indexes: what a new table gets; others get them beside the work, see `indexes`.
        create: False: it is only looked whether there is something.

    Raises:
        MissingStoreError: there is no table of ours, and none is to be made.
        StoreUnavailableError: the server or the schema is none that we can work with.
    """
    state = await _look_at_once(fetch)
    if not create:
        _check_there(state)
        if not state.is_ready:
            await refuse_others(fetch)
    if state.is_ready or not create:
        if state.has_old_table:
            await warn_of_writes(fetch)
        return state
    await fetch("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    await _lock(fetch, timeout)
    state = await _look(fetch)  # another instance may have done it meanwhile
    await refuse_others(fetch)
    for version in range(0 if state.missing else state.version, VERSION):
        for statement in MIGRATIONS[version]:
            await fetch(statement)
    for index in () if state.has_table else indexes:
        await fetch(index.create())
    if state.version == VERSION and state.missing:
        log.warning(
            "PostgreSQL: %s missing though recorded as set up, and made anew. Was only a part of the database "
            "restored, or something dropped?",
            " and ".join(state.missing) + (" was" if len(state.missing) == 1 else " were"),
        )
    if state.version < VERSION:
        await fetch(RECORD, "version", str(VERSION))
        log.info("PostgreSQL: schema of ad_seller.storage set up, version %d (was %d)", VERSION, state.version)
    if state.old_table_waits:
        await take_over(fetch)
    await fetch("COMMIT")
    return await _look(fetch)


async def take_over_newer(fetch: Fetch, timeout: float, *, apply: bool) -> TakeOver:
    """Compare the older table with ours once more; see `takeover.take_over_again`."""
    await fetch("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    await _lock(fetch, timeout)
    found = await take_over_again(fetch, apply=apply)
    await fetch("COMMIT")
    return found


async def _look_at_once(fetch: Fetch) -> Found:
    """Do as `_look`, in one round trip where our tables are; not within a transaction."""
    try:
        [facts] = await described(fetch, _BOTH)
    except asyncpg.UndefinedTableError:
        return await _look(fetch)
    except asyncpg.SyntaxOrAccessError:  # a table of that name without our columns, or no table
        await refuse_others(fetch)
        raise
    return _judged(facts, facts["records"])


async def _look(fetch: Fetch) -> Found:
    """Return what is there, or raise the error that says why it cannot be used."""
    [facts] = await fetch(_FACTS)
    return _judged(facts, (await fetch(_RECORDS))[0]["records"] if SCHEMA_TABLE in facts["tables"] else [])


def _judged(facts: Any, recorded: list[list[str]]) -> Found:
    _check_server(facts)
    records = dict(recorded)
    version = int(records.get("version", 0))
    if version > VERSION:
        raise StoreUnavailableError(
            f"The database has version {version} of our tables, this package knows up to {VERSION}: a newer "
            "ad-seller-storage has set it up. Upgrade this one (pip install -U ad-seller-storage)."
        )
    missing = _missing(facts) if version else ()
    taken_over = OLD_RECORD in records and TABLE not in missing  # what was taken over went with the table
    has_old_table = OLD_TABLE in facts["tables"]
    return Found(
        version,
        has_table=TABLE in facts["tables"],
        has_columns=facts["has_columns"],
        missing=missing,
        has_old_table=has_old_table,
        old_table_waits=has_old_table and not taken_over,
        old_writes=facts["old_writes"],
        indexes=dict(facts["indexes"]),
        durability=tuple(facts["durability"]),
    )


def _check_there(state: Found) -> None:
    if state.has_table:
        return
    if state.has_old_table:
        raise MissingStoreError(
            f"The store was not found: the database has the table {OLD_TABLE} of an older agent, and no table of "
            "ours yet. The agent's first start takes its entries over, and so does `ad-seller-storage take-over`."
        )
    raise MissingStoreError(
        "The store was not found: the database has no table of an agent. Check the URL, and the user's search_path."
    )


def _missing(facts: Any) -> tuple[str, ...]:
    """Return what a database that was set up lacks; the function for fields is made with the indexes."""
    has_table = TABLE in facts["tables"]
    there = {
        TABLE: has_table,
        UNIQUE_KEY: facts["has_unique_key"] or not has_table,
        COMMIT_FUNCTION: facts["has_function"],
    }
    return tuple(name for name, is_there in there.items() if not is_there)


def _check_server(facts: Any) -> None:
    if facts["server"] < OLDEST_SERVER:
        raise StoreUnavailableError(
            f"The server is PostgreSQL {facts['server'] // 10000}; {OLDEST_SERVER // 10000} or newer is needed"
        )
    if facts["encoding"] != "UTF8":
        raise StoreUnavailableError(
            f"The database's encoding is {facts['encoding']}, which cannot hold every value. "
            "Create one with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if facts["isolation"] != "read committed":
        raise StoreUnavailableError(
            f"Transactions start as {facts['isolation']} here. Make it read committed for this user: "
            "ALTER ROLE … SET default_transaction_isolation = 'read committed'"
        )


async def _lock(fetch: Fetch, timeout: float) -> None:
    """Wait for our turn. Polled, because a waiting statement would run into the time-out of statements."""
    for _ in range(int(_LOCK_PATIENCE * timeout / _LOCK_PAUSE) + 1):
        [row] = await fetch("SELECT pg_try_advisory_xact_lock($1) AS ours", _LOCK)
        if row["ours"]:
            return
        await asyncio.sleep(_LOCK_PAUSE)
    raise StoreUnavailableError(
        f"Another instance has been setting up the tables for {_LOCK_PATIENCE * timeout:g} s. Look for a session "
        "that hangs in pg_stat_activity, and try again."
    )
