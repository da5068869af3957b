"""Everything the doctor knows, with the reason and the next step of each."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

#: "error": acknowledged data is lost, or calls fail. "warning": that may come. "note": worth knowing.
Severity = Literal["error", "warning", "note"]


class Rule(NamedTuple):
    """One thing that the doctor knows.

    Attributes:
        severity: how bad it is.
        why: why it matters.
        step: what to do next.
    """

    severity: Severity
    why: str
    step: str


#: The names of rules are part of the command's JSON. Those of deployments are `adopt`'s, too.
RULES: Final[dict[str, Rule]] = {
    # --- deployments: compose files, recipes, .env --------------------------------------------------------
    "setting-unread": Rule(
        "warning",
        "Nobody reads STORAGE_BACKEND, neither the older factory nor this one.",
        "Name the type by STORAGE_TYPE, and remove this one.",
    ),
    "variable-unread": Rule(
        "warning",
        "The name looks like a setting of the storage, but nobody reads it: what it should change stays as it is.",
        "docs/configuration.md lists what is read. Correct the name, or remove it.",
    ),
    "password-apart": Rule(
        "warning",
        "This package takes the password of a URL without one from here; the storage of older agents reads no such "
        "variable, and would log in without a password.",
        "Adopt the agent (`ad-seller-storage adopt`), or have the deployment write the password into the URL.",
    ),
    "type-unknown": Rule(
        "error",
        "No storage type of this name is built in.",
        "One of sqlite, redis, postgres, hybrid, memory; or the name of a registered backend.",
    ),
    "evicting-redis": Rule(
        "error",
        "This Redis throws entries away when its memory is full, acknowledged orders and sessions among them.",
        "maxmemory-policy noeviction, and enough memory.",
    ),
    "url-without-password": Rule(
        "warning",
        "The URL names a user and no password. It is taken from DATABASE_PASSWORD, DB_PASSWORD or PGPASSWORD "
        "(REDIS_PASSWORD for Redis).",
        "Check that the deployment sets one of them for this process.",
    ),
    "redis-without-password": Rule(
        "warning",
        "Whoever reaches this Redis reads and changes all sessions; a published port makes that everybody.",
        "requirepass at the server, REDIS_PASSWORD for the agent, and no published port.",
    ),
    "driver-missing": Rule(
        "error",
        "The storage type named here needs a library that is not installed in this environment.",
        "pip install 'ad-seller-storage[redis,postgres]', or the one of the two that is needed.",
    ),
    "driver-not-in-image": Rule(
        "error",
        "The image installs no driver for the storage type that the deployment sets: the agent fails at its start, "
        "or at the first request.",
        "Install the extras that the type needs: redis, postgres; hybrid needs both.",
    ),
    "sqlite-several-machines": Rule(
        "error",
        "Several instances with SQLite: each has a file of its own and knows nothing of the others' records; on a "
        "shared network disk they damage it.",
        "One instance, or PostgreSQL or Redis.",
    ),
    "text-unreadable": Rule(
        "warning",
        "This file is no UTF-8, so its settings cannot be read, by this package neither.",
        "Save it as UTF-8 without changing its lines.",
    ),
    # --- the settings of this process -------------------------------------------------------------------
    "configuration-refused": Rule(
        "error", "No store can be opened with these settings.", "Correct what the message names, and look again."
    ),
    "redis-url-unused": Rule(
        "warning",
        "REDIS_URL is set, but the storage type does not use it.",
        "STORAGE_TYPE=redis or hybrid to use it; else remove REDIS_URL.",
    ),
    "memory-shared": Rule(
        "error",
        "Each process has entries of its own in memory: what one worker stores no other finds.",
        "One worker, or a type that processes share: sqlite, postgres, redis.",
    ),
    "not-durable": Rule(
        "warning", "What is in memory is gone at the end of the process.", "A SQLite file, PostgreSQL or Redis."
    ),
    # --- engines ----------------------------------------------------------------------------------------
    "store-missing": Rule(
        "error",
        "There is nothing to look at but the settings. A store that should be there is looked for in the wrong "
        "place.",
        "Correct the URL or the working folder. Where the agent never ran, nothing is wrong: its first start makes "
        "it.",
    ),
    "unreachable": Rule(
        "error", "Nothing can be read or written.", "Start the server, or correct the URL, then look again."
    ),
    "store-refused": Rule(
        "error",
        "The store is there, and nothing can be read or written.",
        "Do what the message says, then look again.",
    ),
    "slots-uncovered": Rule(
        "error",
        "Nobody has the entries of these slots: calls for them fail; unless cluster-require-full-coverage is no, "
        "all others, too, and no agent can connect.",
        "Bring back the nodes that are missing; if they are gone for good, `redis-cli --cluster fix` deals their "
        "slots out anew, without the entries. `redis-cli --cluster check` shows which they are.",
    ),
    "master-silent": Rule(
        "error",
        "Until it is back, or a replica has taken over (cluster-node-timeout and some seconds), calls for its "
        "entries fail, and no agent can connect.",
        "Look whether it runs and can be reached from here. If no replica takes over, it has none that is near "
        "enough, or most masters are gone: start it again.",
    ),
    "data-unread": Rule(
        "error",
        "The entries were not looked at, or not to the end, so what is wrong with them is not told.",
        "Mend what is said of the cluster, then look again.",
    ),
    "sqlite-wal-reset": Rule(
        "warning",
        "SQLite before 3.51.3 can damage a file that several connections write in WAL mode (the WAL-reset bug, "
        "https://www.sqlite.org/wal.html). It is rare, and there is no sign until a page is read.",
        "Install a Python that brings SQLite 3.51.3 or newer, and keep backups.",
    ),
    "sqlite-network-disk": Rule(
        "error",
        "SQLite's locks and shared memory do not work between machines: two processes on a network disk damage "
        "the file (https://www.sqlite.org/wal.html, section 1).",
        "Put the file on a local disk, or move to PostgreSQL or Redis.",
    ),
    "sqlite-damaged": Rule(
        "error",
        "Pages of the file are damaged: reads of them fail or give something else.",
        "Stop the agent, keep the file, restore the last backup; `sqlite3 FILE .recover` saves what can be read.",
    ),
    "sqlite-not-wal": Rule(
        "warning",
        "Without WAL readers wait for writers; some file systems do not offer it.",
        "Put the file on a local disk.",
    ),
    "file-readable": Rule(
        "warning", "Other users of the machine can read or change all entries.", "chmod 600 on the file."
    ),
    "log-large": Rule(
        "warning",
        "The log grows as long as some reader keeps an old moment open: reads slow down, the disk fills.",
        "Look for a process that keeps a transaction open; `PRAGMA wal_checkpoint(TRUNCATE)` afterwards.",
    ),
    "disk-nearly-full": Rule(
        "error",
        "When the disk is full, writes fail; a backup or VACUUM needs as much as the file again.",
        "Free some space, or move the file.",
    ),
    "not-synchronous": Rule(
        "warning",
        "A power failure loses writes that were acknowledged.",
        "SQLite: SQLITE_SYNCHRONOUS=FULL. PostgreSQL: fsync, full_page_writes and synchronous_commit on. Redis: "
        "appendonly yes, appendfsync everysec or always.",
    ),
    "saving-fails": Rule(
        "error",
        "The server cannot write its data to disk; with the default settings it refuses writes soon.",
        "Look into the server's log: most often its disk is full or its folder not writable.",
    ),
    "evicted": Rule(
        "error", "Acknowledged entries were thrown away to make room.", "maxmemory-policy noeviction, more memory."
    ),
    "memory-nearly-full": Rule(
        "warning", "Without room Redis refuses writes, or evicts.", "Raise maxmemory, or let more entries expire."
    ),
    "replica": Rule("error", "This server is a replica: it refuses writes.", "Name the primary in the URL."),
    "no-replica": Rule(
        "error",
        "Whoever counts on confirmed replicas waits in vain: writes fail.",
        "Attach replicas, or set REDIS_WAIT_REPLICAS=0 (PostgreSQL: synchronous_standby_names empty).",
    ),
    "replica-lags": Rule(
        "warning",
        "If it takes over, what it has not got is lost; whoever counts on confirmed replicas waits for it.",
        "Look at its log, its disk and the network between. PostgreSQL: also pg_stat_replication.",
    ),
    "replica-down": Rule(
        "warning",
        "It gets no writes: it cannot take over, or what it has not got is lost; confirmed replicas are one fewer.",
        "Start it, or look at the network to the master. If it is gone for good: SENTINEL RESET, at each sentinel.",
    ),
    "slot-idle": Rule(
        "warning",
        "The server keeps its log for a replica that fetches nothing, until its disk is full and all writes fail.",
        "Start that replica; if it is gone for good, pg_drop_replication_slot. A bound: max_slot_wal_keep_size.",
    ),
    "clock-differs": Rule(
        "warning",
        "Times in records come from this machine, expiry from the server: quotes end earlier or later than told.",
        "Run NTP (chrony, systemd-timesyncd) on both machines.",
    ),
    "no-tls": Rule(
        "warning",
        "Passwords and records cross the network in the clear.",
        "rediss:// for Redis; ?sslmode=verify-full for PostgreSQL.",
    ),
    "pool-too-large": Rule(
        "warning",
        "Together the processes may open more connections than the server takes: the last ones are refused.",
        "Lower POSTGRES_POOL_MAX, raise max_connections, or put PgBouncer between.",
    ),
    "superuser": Rule(
        "note",
        "The agent logs in as a superuser: a fault in it can reach every database of the server.",
        "A role of its own that owns its database.",
    ),
    "no-autovacuum": Rule(
        "warning", "Without autovacuum the table grows with each change.", "autovacuum = on at the server."
    ),
    "filter-walks": Rule(
        "warning",
        "Filtered listings look at every record of their kind (the removal of expired entries at the whole table), "
        "because an index is missing, not valid, or of something else than its name says.",
        "`doctor --fix` builds it, anew where it is another one; on PostgreSQL beside the work, as the owner of "
        "the table.",
    ),
    "index-name-taken": Rule(
        "warning",
        "The index of a constraint cannot be dropped without it, and what it promises nobody but you knows: so "
        "`doctor --fix` leaves it, and the index of ours is not there.",
        "ALTER TABLE ad_seller_kv RENAME CONSTRAINT … TO …, or DROP CONSTRAINT; then `doctor --fix`.",
    ),
    "filter-undeclared": Rule(
        "note",
        "A listing that is filtered by such a field looks at every record of its kind.",
        "Nothing, if nobody filters by it; else declare it: docs/indexes.md.",
    ),
    "expired-not-reclaimed": Rule(
        "warning",
        "Expired entries are not seen any more, but fill the store: nobody sweeps, or sweeping does not keep up.",
        "Let an agent run with STORAGE_SWEEP_INTERVAL not off; look in its log for failed sweeps.",
    ),
    # --- data -------------------------------------------------------------------------------------------
    "value-unreadable": Rule(
        "error",
        "Reading such an entry raises, and so does every listing of its kind.",
        "`doctor --fix` (or `ad-seller-storage repair`) sets it aside under damaged:, with its text.",
    ),
    "index-dangling": Rule(
        "warning",
        "The index names records that are gone: lookups do more work, and lists grow.",
        "`doctor --fix` takes those entries out of the index.",
    ),
    "reference-dangling": Rule(
        "warning",
        "The record leads to one that is not there: whoever follows it gets nothing.",
        "Look at the records; if the other one was deleted on purpose, close or delete this one, too.",
    ),
    "reference-expired": Rule(
        "note",
        "The record leads to one that is not there. Its kind expires by itself, so most likely it has; that it was "
        "never stored looks the same. What is still needed of it must stand in the record.",
        "Nothing, unless something reads the other record later: then store it without expiry.",
    ),
    "no-expiry": Rule(
        "warning",
        "Entries of this kind are meant to expire; without that they stay for ever.",
        "Store them by their helper, or with ttl=; `expire` gives those that are there one.",
    ),
    "list-grows": Rule(
        "warning",
        "A list inside one entry is read and written whole at each change: it gets slower with each element.",
        "One entry for each element, or cut the list when it is written.",
    ),
    "set-aside": Rule(
        "note", "Entries that could not be read were set aside.", "Look at them under damaged:, then delete them."
    ),
    "odd-record": Rule(
        "warning",
        "Records of this kind are dicts; helpers and views have no use for anything else.",
        "Look at the entries, store the record anew or delete them.",
    ),
}
