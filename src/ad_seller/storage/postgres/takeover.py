"""The table of an older agent: taken over at the first connect, and again when its tasks have gone on writing.

Neither table knows when an entry was written; the server does, by the transaction that wrote each row. What is
newer than the take-over was written after it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from ..records.keys import MAX_KEY_BYTES
from .statements import TABLE

log = logging.getLogger("ad_seller.storage")

SCHEMA_TABLE: Final = "ad_seller_schema"
OLD_TABLE: Final = "kv_store"
OLD_RECORD: Final = f"take-over of {OLD_TABLE}"

_MOMENT_RECORD: Final = f"{OLD_RECORD}, moment"
_FAR = 9_000_000_000_000  #: seconds since the epoch that timestamptz no longer holds: never
_ROWS = 2_000  #: of one statement, so that each answers within the time-out
_MOST_LOOKED_AT = 256 * 1024 * 1024  #: bytes of an older table that a connect looks at for newer rows

RECORD: Final = f"""
    INSERT INTO {SCHEMA_TABLE} (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = now()"""  # noqa: S608
_READ_RECORD = f"SELECT value FROM {SCHEMA_TABLE} WHERE name = $1"  # noqa: S608
_COLUMNS = """
    SELECT attname::text AS name, atttypid::regtype::text AS type FROM pg_attribute
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"""

#: The oldest transaction that may not have been seen, and the one that takes over, as row versions name them.
_MOMENT = """
    SELECT ((pg_snapshot_xmin(pg_current_snapshot())::text::numeric % 4294967296)::text || ' '
        || (pg_current_xact_id()::text::numeric % 4294967296)::text) AS moment"""

#: Both tables know the same instant of expiry, the older one as seconds since the epoch.
_PART = f"""
    part AS MATERIALIZED (
        SELECT key, value::text AS value, expires_at, xmin AS writer FROM {OLD_TABLE}
        WHERE key > $1::text ORDER BY key LIMIT {_ROWS}
    ), fit AS (
        SELECT key, value, writer, CASE WHEN expires_at < {_FAR} THEN to_timestamp(expires_at) END AS expires_at
        FROM part WHERE octet_length(key) BETWEEN 1 AND {MAX_KEY_BYTES}
            AND (expires_at IS NULL OR expires_at > extract(epoch FROM clock_timestamp()))
    )"""  # noqa: S608
_LAST = "(SELECT key FROM part ORDER BY key DESC LIMIT 1) AS last"
_TAKE_OVER = f"""
    WITH {_PART}, taken AS (
        INSERT INTO {TABLE} (key, value, expires_at) SELECT key, value, expires_at FROM fit
        ON CONFLICT (key) DO NOTHING
    )
    SELECT (SELECT count(*) FROM part) AS seen, (SELECT count(*) FROM fit) AS fit, {_LAST}"""  # noqa: S608

#: Whether a row was written at or after the moment, $2 and $3 being its two transactions.
_OLD_IS_NEWER = "age(fit.writer) <= age($2::text::xid)"
_OURS_IS_NEWER = "(age(ours.xmin) <= age($2::text::xid) AND ours.xmin <> $3::text::xid)"
_JUDGED = f"""
    WITH {_PART}, judged AS MATERIALIZED (
        SELECT fit.*, ours.xmin AS our_writer, ours.key IS NOT NULL AND {_OURS_IS_NEWER} AS clash
        FROM fit LEFT JOIN {TABLE} ours ON ours.key = fit.key
        WHERE {_OLD_IS_NEWER} AND ours.value IS DISTINCT FROM fit.value
    )"""  # noqa: S608
_COMPARE = f"""{_JUDGED}
    SELECT ARRAY(SELECT key FROM judged WHERE NOT clash ORDER BY key) AS newer,
        ARRAY(SELECT key FROM judged WHERE clash ORDER BY key) AS differing, {_LAST}"""  # noqa: S608

#: A row of ours that was written since the comparison stays.
_TAKE_NEWER = f"""{_JUDGED}, taken AS (
        INSERT INTO {TABLE} AS t (key, value, expires_at)
        SELECT key, value, expires_at FROM judged WHERE NOT clash ORDER BY key COLLATE "C"
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
            WHERE age(t.xmin) > age($2::text::xid) OR t.xmin = $3::text::xid
        RETURNING t.key
    )
    SELECT ARRAY(SELECT key FROM taken ORDER BY key) AS newer,
        ARRAY(SELECT key FROM judged WHERE clash ORDER BY key) AS differing, {_LAST}"""  # noqa: S608

_WRITTEN_SINCE = f"""
    SELECT count(*) AS number FROM {OLD_TABLE}
    WHERE pg_relation_size(to_regclass('{OLD_TABLE}')) <= {_MOST_LOOKED_AT} AND age(xmin) <= age($1::text::xid)
        AND NOT EXISTS (SELECT FROM {TABLE} ours WHERE ours.key = {OLD_TABLE}.key
            AND ours.value = {OLD_TABLE}.value::text)"""  # noqa: S608

#: How many rows the server has seen written; null where there is no such table.
WRITES: Final = f"""
    SELECT pg_stat_get_tuples_inserted(old) + pg_stat_get_tuples_updated(old) AS writes
    FROM (SELECT to_regclass('{OLD_TABLE}') AS old) AS it"""  # noqa: S608
_TELL_EVERY: Final = 600.0  #: seconds between two warnings that the older table is still written

#: Runs one statement and returns its rows.
Fetch = Callable[..., Awaitable[list[Any]]]


@dataclass(frozen=True, slots=True)
class TakeOver:
    """What a comparison with the older table has found.

    Attributes:
        taken: keys that only the older agent has written since the last take-over; now its values are here, too.
        differing: keys that both have written since; ours stay as they are.
        first: what the first take-over did, in words; None: there has been no older table.
    """

    taken: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    first: str | None = field(default=None, compare=False)


async def take_over(fetch: Fetch) -> None:
    """Copy the live entries of the older table that are not here; within a transaction."""
    columns = {row["name"]: row["type"] for row in await fetch(_COLUMNS, OLD_TABLE)}
    if not {"key", "value", "expires_at"} <= columns.keys() or columns["expires_at"] != "double precision":
        log.warning("PostgreSQL: a table %s of another form is there; it was left alone", OLD_TABLE)
        await fetch(RECORD, OLD_RECORD, "left alone: other columns")
        return
    log.info("PostgreSQL: taking over the entries of the older table %s", OLD_TABLE)
    [row] = await fetch(_MOMENT)
    moment: str = row["moment"]
    last: str | None = ""
    seen = taken = 0
    while last is not None:
        [row] = await fetch(_TAKE_OVER, last)
        seen, taken, last = seen + row["seen"], taken + row["fit"], row["last"]
    await fetch(RECORD, OLD_RECORD, f"{taken} entries taken over, {seen - taken} left out")
    await fetch(RECORD, _MOMENT_RECORD, moment)
    log.info(
        "PostgreSQL: %d entries of %s taken over, %d left out because they had expired or their key is too long. "
        "The older table stays as it is; this is not done again.",
        taken,
        OLD_TABLE,
        seen - taken,
    )


async def warn_of_writes(fetch: Fetch) -> bool:
    """Say in the log if tasks of the older agent have written since the take-over; return whether that was said."""
    moment = await _moment(fetch)
    if moment is None:
        return False
    try:
        [row] = await fetch(_WRITTEN_SINCE, moment[0])
    except asyncpg.PostgresError as error:  # no right to read it, or too slow: connecting needs neither
        log.info("PostgreSQL: whether %s is still written could not be seen: %s", OLD_TABLE, error)
        return False
    if row["number"]:
        log.warning(
            "PostgreSQL: tasks of the older agent have written %d entries of %s since they were taken over; these "
            "are not seen here. Stop those tasks, then run `ad-seller-storage take-over`.",
            row["number"],
            OLD_TABLE,
        )
    return bool(row["number"])


class OlderWrites:
    """Notices that tasks of the older agent go on writing while ours run.

    Attributes:
        writes: what the server counted at the last look; None: nothing is known yet.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.writes: int | None = None
        self._told_at = -math.inf

    async def look(self, fetch: Fetch) -> None:
        """Compare what the server counts with the last look; look closer, and say so, where it has grown."""
        before, now = self.writes, asyncio.get_running_loop().time()
        [row] = await fetch(WRITES)
        self.writes = row["writes"]
        if before is not None and self.writes not in (None, before) and now - self._told_at >= _TELL_EVERY:
            self._told_at = now if await warn_of_writes(fetch) else self._told_at


async def take_over_again(fetch: Fetch, *, apply: bool) -> TakeOver:
    """Take what only the older agent has written since; within a transaction.

    Args:
        fetch: runs statements.
        apply: False to compare only.
    """
    moment, found = await _moment(fetch), TakeOver(first=await _recorded(fetch, OLD_RECORD))
    if moment is None or not await fetch(_COLUMNS, OLD_TABLE):
        return found
    [row] = await fetch(_MOMENT)
    now: str = row["moment"]
    last: str | None = ""
    while last is not None:
        [row] = await fetch(_TAKE_NEWER if apply else _COMPARE, last, *moment)
        last = row["last"]
        found.taken.extend(row["newer"])
        found.differing.extend(row["differing"])
    if apply:
        await fetch(RECORD, _MOMENT_RECORD, now)
        log.info("PostgreSQL: %d newer entries of %s taken over", len(found.taken), OLD_TABLE)
    if found.differing:
        log.warning(
            "PostgreSQL: %d entries were written here and in %s since it was taken over; ours stay: %s",
            len(found.differing),
            OLD_TABLE,
            ", ".join(found.differing[:20]),
        )
    return found


async def _moment(fetch: Fetch) -> tuple[str, str] | None:
    """Return the two transactions of the last take-over; None if there was none that left them."""
    recorded = await _recorded(fetch, _MOMENT_RECORD)
    if recorded is None:
        return None
    first, second = recorded.split()
    return first, second


async def _recorded(fetch: Fetch, name: str) -> str | None:
    rows = await fetch(_READ_RECORD, name)
    return rows[0]["value"] if rows else None
