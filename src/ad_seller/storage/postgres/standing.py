"""What else stands under the names that our tables and functions need: it is named, and left as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from ..errors import StoreUnavailableError
from .fields import FIELD_SIGNATURE
from .statements import COMMIT_SIGNATURE, TABLE
from .takeover import SCHEMA_TABLE

#: The columns that our tables have at least, with their types.
_COLUMNS: Final = {
    TABLE: ("key text", "value text", "expires_at timestamp with time zone"),
    SCHEMA_TABLE: ("name text", "value text"),
}
_OURS: Final = ", ".join(f"('{table}', '{column}')" for table, columns in _COLUMNS.items() for column in columns)

#: Whether they have: a query of one value.
HAS_COLUMNS: Final = f"""
    SELECT count(*) = {sum(map(len, _COLUMNS.values()))} FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relname IN ('{TABLE}', '{SCHEMA_TABLE}') AND pg_table_is_visible(pg_class.oid) AND NOT attisdropped
        AND (relname, attname || ' ' || atttypid::regtype) IN ({_OURS})"""  # noqa: S608

#: Where the names of indexes are taken nothing is in the way: see `schema.UNIQUE_KEY` and `indexes`.
_OTHERS: Final = f"""
    SELECT format('%s %I.%I', kind, nspname, name) || CASE kind
            WHEN 'table with other columns' THEN ' (it lacks ' || array_to_string(lacking, ', ') || ')'
            ELSE '' END AS other
    FROM (
        SELECT relname AS name, relnamespace AS place, CASE relkind
            WHEN 'r' THEN 'table with other columns' WHEN 'p' THEN 'table with other columns' WHEN 'v' THEN 'view'
            WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
            WHEN 'c' THEN 'type' ELSE 'index' END AS kind, lacking
        FROM pg_class, LATERAL (SELECT ARRAY(
            SELECT needed FROM (VALUES {_OURS}) AS ours(name, needed) WHERE name = relname
            EXCEPT SELECT attname || ' ' || atttypid::regtype FROM pg_attribute
                WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
            ORDER BY 1) AS lacking) AS columns
        WHERE relname IN ('{TABLE}', '{SCHEMA_TABLE}') AND pg_table_is_visible(oid)
            AND NOT (relkind IN ('r', 'p') AND lacking = '{{}}')
        UNION ALL
        SELECT typname, typnamespace, 'type', NULL FROM pg_type
        WHERE typname IN ('{TABLE}', '{SCHEMA_TABLE}') AND typrelid = 0 AND pg_type_is_visible(oid)
        UNION ALL
        SELECT proname, pronamespace, CASE prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure'
            ELSE 'aggregate' END || ' with other results', NULL
        FROM (VALUES ('{COMMIT_SIGNATURE}', 'record'), ('{FIELD_SIGNATURE}', 'text')) AS ours(signature, result)
        JOIN pg_proc ON pg_proc.oid = to_regprocedure(signature)
        WHERE prokind <> 'f' OR prorettype <> result::regtype
    ) AS others JOIN pg_namespace ON pg_namespace.oid = place"""  # noqa: S608

Fetch = Callable[..., Awaitable[list[Any]]]


async def refuse_others(fetch: Fetch) -> None:
    """Look whether a name that we need is taken.

    Raises:
        StoreUnavailableError: it is, by what it names.
    """
    others = [row["other"] for row in await fetch(_OTHERS)]
    if others:
        raise StoreUnavailableError(
            f"Under a name that we need the database has the {' and the '.join(others)}, not made by us, or "
            "changed since. Nothing was done. If it holds entries of ours, change it back: ALTER TABLE. Otherwise "
            "rename or drop it, or give the agent a schema of its own: CREATE SCHEMA agent, and "
            "?schema=agent in the URL."
        )
