"""The statements of the PostgreSQL backend.

All data go as parameters. Of arrays, asyncpg knows those of text and oid. For others each new session would ask for
a description of the type first: milliseconds, and seconds behind a pooler, where it cannot turn JIT off. Deadlines
are of the server's clock, read by ``clock_timestamp()``: ``now()`` stands still during a transaction.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from ..driver.engine import NO_EXPIRY
from ..driver.query import KeyQuery

TABLE: Final = "ad_seller_kv"
COMMIT_FUNCTION: Final = "ad_seller_kv_commit"
COMMIT_SIGNATURE: Final = (
    f"{COMMIT_FUNCTION}(text[], text[], bigint[], int[], int[], text[], text[], int[], int[], "
    "text[], text[], text[], bigint[])"
)

APPLICATION: Final = "ad_seller_storage"  #: what pg_stat_activity calls our sessions

LIVE: Final = "(expires_at IS NULL OR expires_at > clock_timestamp())"

READ: Final = f"SELECT key, value FROM {TABLE} WHERE key = ANY($1::text[]) AND {LIVE}"  # noqa: S608

#: For a caller who is alone: the same with less to pack and unpack.
READ_ONE: Final = f"SELECT value FROM {TABLE} WHERE key = $1::text AND {LIVE}"  # noqa: S608

REMAINING: Final = f"""
    SELECT key, CASE WHEN expires_at IS NULL THEN {NO_EXPIRY}
        ELSE greatest(1, ceil(extract(epoch FROM expires_at - clock_timestamp()) * 1000)) END::bigint
    FROM {TABLE} WHERE key = ANY($1::text[]) AND {LIVE}"""  # noqa: S608

#: Whoever comes first removes; what another one is removing or writing at this moment is passed over.
SWEEP: Final = f"""
    WITH expired AS MATERIALIZED (
        SELECT key FROM {TABLE} WHERE expires_at <= statement_timestamp()
        ORDER BY expires_at LIMIT $1::bigint FOR UPDATE SKIP LOCKED)
    DELETE FROM {TABLE} USING expired WHERE {TABLE}.key = expired.key RETURNING 1"""  # noqa: S608

#: Sets how long the statement waits for a row that another session holds. It does that itself, before the first
#: lock, because behind a pooler no setting of the session can be relied on. `waiting` fills the time in, since a
#: parameter costs both sides more; so does a subselect where there is but one row.
_WAIT: Final = "set_config('lock_timeout', '%d', true)"

#: The keys whose rows other sessions hold at this moment.
HELD: Final = f"""
    WITH free AS MATERIALIZED (SELECT key FROM {TABLE} WHERE key = ANY($1::text[]) FOR UPDATE SKIP LOCKED)
    SELECT key FROM {TABLE} WHERE key = ANY($1::text[]) AND key NOT IN (SELECT key FROM free)"""  # noqa: S608

#: For a batch that only stores: what the function below does then, without its overhead.
PUT: Final = f"""
    INSERT INTO {TABLE} (key, value, expires_at)
    SELECT l.key, l.text, clock_timestamp() + l.ms::bigint * interval '1 millisecond'
    FROM unnest($1::text[], $2::text[], $3::text[]) AS l(key, text, ms), (SELECT {_WAIT} AS ms) AS wait
    WHERE wait.ms IS NOT NULL
    ORDER BY l.key COLLATE "C"
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"""  # noqa: S608

PUT_ONE: Final = f"""
    INSERT INTO {TABLE} (key, value, expires_at)
    SELECT $1::text, $2::text, clock_timestamp() + $3::bigint * interval '1 millisecond'
    WHERE {_WAIT} IS NOT NULL
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"""

#: Removes many entries if each of them is there; otherwise none, and answers 0. An absent key cannot be locked so:
#: what another commit stores there, while this one waits for a row, would stay. Whether one has expired is judged
#: when all are locked, which may take a while: by then others may have seen that it has.
DELETE_ALL: Final = f"""
    WITH held AS MATERIALIZED (
        SELECT key, expires_at FROM {TABLE}, (SELECT {_WAIT} AS ms) AS wait
        WHERE wait.ms IS NOT NULL AND key = ANY($1::text[])
        ORDER BY key FOR UPDATE OF {TABLE}
    ), living AS MATERIALIZED (
        SELECT count(*) AS number, clock_timestamp() AS moment, min(expires_at) AS first_to_expire FROM held
    ), wanted AS MATERIALIZED (
        SELECT key FROM held, living
        WHERE number = cardinality($1::text[]) AND (first_to_expire > moment) IS NOT FALSE
    ), gone AS (
        DELETE FROM {TABLE} USING wanted WHERE {TABLE}.key = wanted.key RETURNING 1
    )
    SELECT count(*) FROM gone"""  # noqa: S608

COMMIT: Final = f"""
    SELECT unmet::oid[], hits::oid[] FROM {COMMIT_FUNCTION}(
        CASE WHEN {_WAIT} IS NOT NULL THEN $1::text[] END, $2, $3::text[]::bigint[],
        $4::oid[]::int[], $5::oid[]::int[], $6, $7,
        $8::oid[]::int[], $9::oid[]::int[], $10, $11, $12, $13::text[]::bigint[])"""  # noqa: S608

#: What a row holds that only stands for the lock on an absent key. No JSON text contains this character, and no
#: other transaction ever sees such a row.
_MARK = r"E'\x01'"

#: Applies many commits in one transaction, each all or nothing; see `Packed` for the parameters.
#:
#: First, all keys are locked in the order of the keys, which every writer keeps: so there are no deadlocks. An
#: absent key is locked by a row with the mark. ON CONFLICT DO UPDATE locks an existing row also where its WHERE
#: does not hold (https://www.postgresql.org/docs/current/sql-insert.html). Each statement of a volatile function
#: sees what was committed before it began, so what is read after the lock is what will be true at the commit.
#:
#: Planning must never settle on a scan of the whole table, which is cheapest only as long as it is small.
CREATE_COMMIT_FUNCTION: Final = f"""
CREATE OR REPLACE FUNCTION {COMMIT_FUNCTION}(
    l_key text[], l_text text[], l_ms bigint[],
    e_until int[], e_commit int[], e_key text[], e_text text[],
    w_until int[], w_commit int[], w_op text[], w_key text[], w_text text[], w_ms bigint[],
    OUT unmet int[], OUT hits int[]
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $function$
DECLARE
    moment timestamptz;
    refused int[] := '{{}}';
    failed int[];
    e_from int := 0;
    w_from int := 0;
BEGIN
    unmet := '{{}}';
    hits := '{{}}';
    INSERT INTO {TABLE} AS t (key, value, expires_at)
    SELECT l.key, coalesce(l.text, {_MARK}), clock_timestamp() + l.ms * interval '1 millisecond'
    FROM unnest(l_key, l_text, l_ms) AS l(key, text, ms)
    ORDER BY l.key COLLATE "C"
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
        WHERE excluded.value <> {_MARK};

    FOR wave IN 1 .. cardinality(w_until) LOOP
        moment := coalesce(moment, clock_timestamp());
        IF e_until[wave] > e_from THEN
            failed := ARRAY(
                SELECT e.position + e_from
                FROM unnest(e_key[e_from + 1 : e_until[wave]], e_text[e_from + 1 : e_until[wave]])
                    WITH ORDINALITY AS e(key, text, position)
                LEFT JOIN {TABLE} t ON t.key = e.key AND t.value <> {_MARK}
                    AND (t.expires_at IS NULL OR t.expires_at > moment)
                WHERE t.value IS DISTINCT FROM e.text);
            IF cardinality(failed) > 0 THEN
                unmet := unmet || failed;
                refused := refused || ARRAY(SELECT e_commit[f.position] FROM unnest(failed) AS f(position));
            END IF;
        END IF;
        IF w_until[wave] > w_from THEN
            WITH w AS MATERIALIZED (
                SELECT * FROM unnest(
                    w_commit[w_from + 1 : w_until[wave]], w_op[w_from + 1 : w_until[wave]],
                    w_key[w_from + 1 : w_until[wave]], w_text[w_from + 1 : w_until[wave]],
                    w_ms[w_from + 1 : w_until[wave]]
                ) WITH ORDINALITY AS u(commit, op, key, text, ms, position)
                WHERE u.commit <> ALL (refused)
            ), put AS (
                INSERT INTO {TABLE} AS t (key, value, expires_at)
                SELECT w.key, w.text, CASE w.op WHEN 'k' THEN (
                        SELECT old.expires_at FROM {TABLE} old WHERE old.key = w.key AND old.expires_at > moment
                    ) ELSE moment + w.ms * interval '1 millisecond' END
                FROM w WHERE w.op IN ('p', 'k')
                ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
            ), touched AS (
                UPDATE {TABLE} t SET expires_at = moment + w.ms * interval '1 millisecond'
                FROM w WHERE w.op = 't' AND t.key = w.key AND t.value <> {_MARK}
                    AND (t.expires_at IS NULL OR t.expires_at > moment)
                RETURNING w.position
            ), deleted AS (
                DELETE FROM {TABLE} t USING w WHERE w.op = 'd' AND t.key = w.key AND t.value <> {_MARK}
                    AND (t.expires_at IS NULL OR t.expires_at > moment)
                RETURNING w.position
            )
            SELECT hits || ARRAY(
                SELECT position + w_from FROM touched UNION ALL SELECT position + w_from FROM deleted
            )::int[] INTO hits;
        END IF;
        e_from := e_until[wave];
        w_from := w_until[wave];
    END LOOP;

    IF cardinality(w_until) > 0 THEN
        DELETE FROM {TABLE} t WHERE t.key = ANY (l_key) AND t.value = {_MARK};
    END IF;
END
$function$"""  # noqa: S608


def session_settings(timeout: float) -> dict[str, str]:
    """Return what each session is started with; ``timeout`` in seconds.

    A statement that takes too long is stopped by the server a little before we give up: then it is certain that
    nothing was applied. The plans of our few statements need not be made anew for each use, and must not settle
    on scanning the whole table while that is small.
    """
    return {
        "default_transaction_isolation": "read committed",
        "statement_timeout": str(int(timeout * 900)),
        "lock_timeout": str(int(timeout * 200)),
        "enable_seqscan": "off",
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
    }


@lru_cache
def waiting(statement: str, seconds: float) -> str:
    """Return one of the statements that write, with the time that it waits for rows; never 0, which has no end."""
    return statement % max(1, int(1000 * seconds))


def select(columns: str, span: KeyQuery, after: str | None, limit: int | None) -> tuple[str, list[Any]]:
    """Return a statement over a part of ``span``, and its parameters.

    Args:
        columns: what to select, a constant.
        span: the keys.
        after: only keys that come after this one in the order of the span; None for all of it.
        limit: at most so many rows, in the order of their keys; None for all, in no order.
    """
    span = span.beyond(after)
    parameters: list[Any] = [span.start]
    if "\0" in span.glob.prefix:  # PostgreSQL does not take it, and no key has it
        parameters, conditions = [""], "false AND key = $1::text"
    elif span.glob.literal:  # its `stop` contains NUL
        parameters = [span.glob.prefix]
        conditions = "key = $1::text" if span.has(span.glob.prefix) else "false AND key = $1::text"
    else:
        conditions = f"key {'>' if span.is_after_start else '>='} $1::text"
        if span.stop is not None:
            parameters.append(span.stop)
            conditions += " AND key < $2::text"
    statement = f"SELECT {columns} FROM {TABLE} WHERE {conditions} AND {LIVE}"  # noqa: S608
    if limit is not None:
        parameters.append(limit)
        statement += f" ORDER BY key {'DESC' if span.reverse else ''} LIMIT ${len(parameters)}::bigint"
    return statement, parameters
