"""What a PostgreSQL server says about itself, for `doctor`."""

from __future__ import annotations

import time
from typing import Any, Final

from .client import Fetch
from .fields import Declared
from .indexes import kept_by_constraints, look, unwanted
from .statements import TABLE

_MOST_COUNTED: Final = 100_000  #: expired entries

_SETTINGS: Final = """
    SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])"""
_NAMES: Final = [
    "fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names", "max_connections",
    "superuser_reserved_connections", "autovacuum", "server_version",
]  # fmt: skip

_STATE: Final = f"""
    SELECT extract(epoch FROM clock_timestamp())::float8 AS clock, pg_is_in_recovery() AS is_replica,
        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls,
        inet_server_addr() IS NULL OR inet_client_addr() = inet_server_addr() AS is_local,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
        (SELECT count(*) FROM pg_stat_replication) AS replicas,
        (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
        pg_total_relation_size('{TABLE}') AS bytes"""  # noqa: S608
_EXPIRED: Final = f"""
    SELECT count(*) AS expired, coalesce(extract(epoch FROM clock_timestamp() - min(expires_at)), 0)::float8 AS late
    FROM (SELECT expires_at FROM {TABLE} WHERE expires_at <= clock_timestamp()
        ORDER BY expires_at LIMIT {_MOST_COUNTED}) AS old"""  # noqa: S608
_NOW: Final = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END"
#: Those that are being fed; what takes a base backup is none. Who may not look at them sees no state.
#: Source: https://www.postgresql.org/docs/current/monitoring-stats.html
_FOLLOWERS: Final = f"""
    SELECT concat_ws(' ', 'The replica', nullif(application_name, ''), host(client_addr)) AS name,
        coalesce(pg_wal_lsn_diff({_NOW}, coalesce(replay_lsn, flush_lsn, sent_lsn)), 0)::int8 AS behind,
        coalesce(extract(epoch FROM greatest(replay_lag, clock_timestamp() - reply_time)), 0)::float8 AS late
    FROM pg_stat_replication WHERE state IN ('streaming', 'catchup')"""  # noqa: S608
_SLOTS: Final = f"""
    SELECT slot_name::text AS name, pg_wal_lsn_diff({_NOW}, restart_lsn)::int8 AS kept
    FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL"""  # noqa: S608


_DURABILITY: Final = """
    SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')"""


async def doubts(fetch: Fetch) -> list[str]:
    """Return what a failure of the server's machine may take of what was acknowledged.

    Source: https://www.postgresql.org/docs/current/runtime-config-wal.html

    Args:
        fetch: runs a statement.
    """
    return doubts_about(*(await fetch(_DURABILITY))[0])


def doubts_about(fsync: str, pages: str, commits: str) -> list[str]:
    """Return what `doubts` does, of the settings that it asks for."""
    off = [name for name, value in (("fsync", fsync), ("full_page_writes", pages)) if value == "off"]
    found: list[str] = []
    if off:
        found.append(
            f"{' and '.join(off)} off: after a crash of the server's machine acknowledged entries may be lost, or "
            "all of them damaged. Switch it on in postgresql.conf."
        )
    if commits == "off":
        found.append(
            "synchronous_commit is off: the last acknowledged commits before a crash of the server may be lost. "
            "Set it to on, for the role of the agent or for all."
        )
    return found


async def facts(fetch: Fetch, declared: Declared) -> dict[str, Any]:
    """Return what there is to know, of a user without any special right, too.

    Args:
        fetch: runs a statement on one connection.
        declared: the indexes that there are to be.
    """
    settings = {row["name"]: row["setting"] for row in await fetch(_SETTINGS, _NAMES)}
    began = time.time()
    [state] = await fetch(_STATE)
    ended = time.time()
    [expired] = await fetch(_EXPIRED)
    there = await look(fetch)
    missing = sorted(declared.names - declared.usable(there))
    kept = await kept_by_constraints(fetch)
    clock = state["clock"]
    return {
        "engine": "postgres",
        **settings,
        **{name: value for name, value in dict(state).items() if name != "clock"},
        "clock_ahead": clock - min(max(clock, began), ended),
        "expired": expired["expired"],
        "expired_for": max(0.0, expired["late"]),
        "missing_indexes": missing,
        "wrong_indexes": {name: there[name] for name in missing if there.get(name)},
        "unwanted_indexes": {name: there[name] for name in unwanted(declared, there, kept)},
        "constraints": sorted(kept & {*missing}),
        "followers": [dict(row) for row in await fetch(_FOLLOWERS)],
        "idle_slots": [dict(row) for row in await fetch(_SLOTS)],
    }
