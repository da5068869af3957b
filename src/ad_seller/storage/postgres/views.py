"""The views of a seller's records in PostgreSQL, for pgweb, Metabase, Grafana and other readers.

No stored text makes one of them raise: functions of ours read the record and its times, and what they cannot read
is NULL.
"""

from __future__ import annotations

from typing import Any, Final

from ..errors import StoreUnavailableError
from ..records.globs import successor
from ..records.namespaces import MARK
from ..seller.views import ENTRIES, Column, Path, View, checked, text_literal
from .client import Fetch
from .statements import LIVE, TABLE

RECORD_FUNCTION: Final = f"{TABLE}_record"
TIME_FUNCTION: Final = f"{TABLE}_time"

#: Where the name of a namespace ends in a key that begins with `MARK`, counted from its start; 0: there is none.
_COLON: Final = f"strpos(substr(key, {len(MARK) + 1}), ':')"
_NAMESPACE: Final = f"left(substr(key, {len(MARK) + 1}), {_COLON} - 1)"
_REST: Final = f"substr(key, {len(MARK) + 1} + {_COLON})"

_MARK: Final = "made by `ad-seller-storage views create`"

#: jsonb takes no NUL character; ours may have one, and shows as U+FFFD here. An even number of backslashes before
#: it are characters of their own. What is no JSON at all is NULL, and so is what jsonb has no room for.
FUNCTIONS: Final = (
    f"""CREATE OR REPLACE FUNCTION {RECORD_FUNCTION}(value text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE COST 10000 AS $function$
BEGIN
    RETURN value::jsonb;
EXCEPTION WHEN others THEN
    BEGIN
        RETURN regexp_replace(value, '(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', '\\1\\\\ufffd', 'g')::jsonb;
    EXCEPTION WHEN others THEN
        RETURN NULL;
    END;
END
$function$""",
    # A time without a zone is one of UTC, whatever the session's zone is.
    f"""CREATE OR REPLACE FUNCTION {TIME_FUNCTION}(given text) RETURNS timestamptz
LANGUAGE plpgsql STABLE COST 1000 AS $function$
BEGIN
    IF given !~ '^\\d{{4}}-[01]\\d-[0-3]\\d' THEN
        RETURN NULL;
    END IF;
    IF given !~ '\\d:\\d\\d.*(Z|z|[+-]\\d\\d(:?\\d\\d)?)$' THEN
        RETURN (given || ' UTC')::timestamptz;
    END IF;
    RETURN given::timestamptz;
EXCEPTION WHEN others THEN
    RETURN NULL;
END
$function$""",
)


def view_statements(views: tuple[View, ...] | None) -> dict[str, str]:
    """Return the statement that makes each view, by its name; `FUNCTIONS` come first."""
    views = checked(views)
    return {view.name: _create(view) for view in views} | {ENTRIES: _create_entries()}


def _create(view: View) -> str:
    columns = [f"substr(rest, {len(view.prefix) + 1}) AS {view.identity}"]
    columns += [f"{_field(column)} AS {column.name}" for column in view.columns]
    columns += ["expires_at", "coalesce(jsonb_typeof(record) = 'object', false) AS readable", "namespace"]
    inside = _in_namespace()
    outside = f"{_between(view.prefix)} AND NOT ({inside})"
    places = ((outside, "NULL", "key"), (inside, _NAMESPACE, _REST))
    # In a namespace the key says which kind it is after the namespace.
    # OFFSET 0: the text is read once for each row, not once for each column.
    inner = "\n  UNION ALL ".join(
        f"(SELECT {namespace}::text AS namespace, {rest} AS rest, expires_at, {RECORD_FUNCTION}(value) AS record "  # noqa: S608
        f"FROM {TABLE} WHERE {keys} AND left({rest}, {len(view.prefix)}) = {text_literal(view.prefix)} "
        f"AND {LIVE} OFFSET 0)"
        for keys, namespace, rest in places
    )
    return (
        f"CREATE OR REPLACE VIEW {view.name} AS\nSELECT\n  " + ",\n  ".join(columns) + f"\nFROM ({inner}) AS live"
    )


def _in_namespace() -> str:
    return f"{_between(MARK)} AND {_COLON} > 0"


def _between(prefix: str) -> str:
    stop = successor(prefix)
    return f"key >= {text_literal(prefix)}" + ("" if stop is None else f" AND key < {text_literal(stop)}")


def _create_entries() -> str:
    in_namespace = _in_namespace()
    return (
        f"CREATE OR REPLACE VIEW {ENTRIES} AS\nSELECT key, "
        f"substring(CASE WHEN {in_namespace} THEN {_REST} ELSE key END FROM '^[^:]*:') AS kind, "
        f"octet_length(value) AS bytes, expires_at, {RECORD_FUNCTION}(value) IS NOT NULL AS readable, "
        f"CASE WHEN {in_namespace} THEN {_NAMESPACE} END AS namespace\n"
        f"FROM {TABLE} WHERE {LIVE}"
    )


def _field(column: Column) -> str:
    found = [_READERS[column.kind](_place(path)) for path in column.paths]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def _place(path: Path) -> str:
    return f"ARRAY[{', '.join(text_literal(str(part)) for part in path)}]"


def _when(place: str, kinds: str, value: str) -> str:
    return f"CASE WHEN jsonb_typeof(record #> {place}) IN ({kinds}) THEN {value} END"


_READERS: Final = {
    "text": lambda place: _when(place, "'string', 'number'", f"record #>> {place}"),
    "number": lambda place: _when(place, "'number'", f"(record #>> {place})::numeric"),
    "flag": lambda place: _when(place, "'boolean'", f"(record #>> {place})::boolean"),
    "length": lambda place: _when(place, "'array'", f"jsonb_array_length(record #> {place})"),
    "time": lambda place: _when(place, "'string'", f"{TIME_FUNCTION}(record #>> {place})"),
    "date": lambda place: _when(
        place, "'string'", f"({TIME_FUNCTION}(record #>> {place}) AT TIME ZONE 'UTC')::date"
    ),
}


async def create(fetch: Fetch, views: tuple[View, ...] | None) -> list[str]:
    """Make the views in one transaction, in place of those that an earlier call made; return their names.

    What was granted on them stays.

    Raises:
        StoreUnavailableError: something else has one of the names; nothing was changed.
        asyncpg.PostgresError: the server refused; a view whose columns have changed is dropped first.
    """
    wanted = view_statements(views)
    await fetch("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    await _ours(fetch, wanted)
    for statement in (*FUNCTIONS, *wanted.values()):
        await fetch(statement)
    for name in wanted:
        await fetch(f"COMMENT ON VIEW {name} IS {text_literal(_MARK)}")
    await fetch("COMMIT")
    return list(wanted)


async def drop(fetch: Fetch, views: tuple[View, ...] | None) -> list[str]:
    """Remove the views that `create` made, and their functions; return their names."""
    await fetch("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    there = await _ours(fetch, view_statements(views))
    for name in there:
        await fetch(f"DROP VIEW {name}")
    await fetch(f"DROP FUNCTION IF EXISTS {RECORD_FUNCTION}(text)")
    await fetch(f"DROP FUNCTION IF EXISTS {TIME_FUNCTION}(text)")
    await fetch("COMMIT")
    return there


_LOOK: Final = """
    SELECT relname::text AS name, relkind::text AS kind, obj_description(oid, 'pg_class') AS comment
    FROM pg_class WHERE relname = ANY($1::text[]) AND pg_table_is_visible(oid)"""


async def _ours(fetch: Fetch, wanted: dict[str, str]) -> list[str]:
    rows: list[Any] = await fetch(_LOOK, list(wanted))
    for row in rows:
        if row["kind"] != "v" or row["comment"] != _MARK:
            raise StoreUnavailableError(
                f"The database has a {'view' if row['kind'] == 'v' else 'table or the like'} {row['name']!r} that "
                "`views create` did not make. Nothing was changed; rename or drop it first."
            )
    there = {row["name"] for row in rows}
    return [name for name in wanted if name in there]
