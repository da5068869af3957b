"""Judging what an engine says about itself: versions, durability, memory, clocks, files, connections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ...seller.kinds import FIELDS
from .environment import workers
from .findings import Finding

_MEBIBYTE: Final = 1024 * 1024
_LEAST_FREE: Final = 256 * _MEBIBYTE  #: bytes of a disk
_LARGE_LOG: Final = 256 * _MEBIBYTE
_CLOCKS: Final = 1.0  #: seconds between two clocks that matter
_LATE: Final = 600.0  #: seconds after which an expired entry should have been reclaimed
_MANY: Final = 10_000  #: records that a listing should not have to look at
_MEMORY: Final = 0.9  #: of maxmemory
_SILENT: Final = 20.0  #: seconds; a replica says where it is each second (Redis), or each 10 (PostgreSQL)
_BEHIND: Final = 64 * _MEBIBYTE  #: of the log of changes

#: The first SQLite without the WAL-reset bug. Source: https://www.sqlite.org/wal.html
_SQLITE_FIXED: Final = (3, 51, 3)
_NETWORK_DISKS: Final = re.compile(
    r"(nfs\d?|cifs|smb\w*|afs|ceph|glusterfs|lustre|gpfs|9p|virtiofs|fuse\.(sshfs|s3fs|gcsfuse|glusterfs|ceph\w*|rclone))"
)

Facts = Mapping[str, Any]


def judge(facts: Facts, where: str) -> Iterator[Finding]:
    """Return what speaks against relying on an engine.

    Args:
        facts: what `ConnectedBackend.facts` returns.
        where: the store, for readers.
    """
    judges = {"sqlite": _sqlite, "postgres": _postgres, "redis": _redis, "cluster": _cluster}
    for rule, what in judges.get(facts.get("engine", ""), _memory)(facts):
        yield Finding(rule, what, where, fixable=rule == "filter-walks")
    if abs(ahead := facts.get("clock_ahead", 0.0)) > _CLOCKS:
        yield Finding("clock-differs", f"The server's clock is {ahead:+.1f} s from this machine's", where)
    if facts.get("expired", 0) and facts["expired_for"] > _LATE:
        late = _duration(facts["expired_for"])
        what = f"{facts['expired']:,} expired entries are still stored, the oldest for {late}"
        yield Finding("expired-not-reclaimed", what, where, count=facts["expired"])


def undeclared(facts: Facts, kinds: Mapping[str, int], where: str) -> Iterator[Finding]:
    """Return the filters of listings that look at many records, because their fields have no index.

    Args:
        facts: see `judge`.
        kinds: how many entries there are of each kind.
        where: the store, for readers.
    """
    if facts.get("engine") not in ("sqlite", "postgres"):
        return  # no index serves listings there
    for kind, fields in FIELDS.items():
        names = [f"{kind}.{'.'.join(path)}" for path in fields.values()]
        without = [name for name in names if name not in facts["indexes"]]
        if without and kinds.get(kind, 0) >= _MANY:
            what = f"No index is declared for {', '.join(without)}, and there are {kinds[kind]:,} of them"
            yield Finding("filter-undeclared", what, where)


Judged = Iterator[tuple[str, str]]


def _memory(facts: Facts) -> Judged:
    yield "not-durable", "The store lies in memory"


def _sqlite(facts: Facts) -> Judged:
    if "path" not in facts:
        yield from _memory(facts)
        return
    if _numbers(facts["version"]) < _SQLITE_FIXED:
        yield "sqlite-wal-reset", f"SQLite {facts['version']}"
    if _NETWORK_DISKS.fullmatch(facts.get("filesystem", "")):
        yield (
            "sqlite-network-disk",
            f"The file lies on {facts['filesystem']}, {workers()} worker(s) by WEB_CONCURRENCY",
        )
    if facts["damage"]:
        yield "sqlite-damaged", f"quick_check says: {'; '.join(facts['damage'])}"
    yield from _indexes(facts)
    if facts["journal_mode"] != "wal":
        yield "sqlite-not-wal", f"The journal mode is {facts['journal_mode']}"
    if facts.get("mode", 0) & 0o077:
        yield "file-readable", f"The file's mode is {facts['mode']:04o}"
    if facts["synchronous"] != "FULL":
        yield "not-synchronous", f"synchronous={facts['synchronous']}"
    if facts.get("log_bytes", 0) > max(_LARGE_LOG, facts["bytes"]):
        yield (
            "log-large",
            f"The log has {facts['log_bytes'] // _MEBIBYTE:,} MiB, the file {facts['bytes'] // _MEBIBYTE:,}",
        )
    if facts.get("disk_free", _LEAST_FREE + facts["bytes"]) < max(_LEAST_FREE, facts["bytes"]):
        yield "disk-nearly-full", f"{facts['disk_free'] // _MEBIBYTE:,} MiB are free on the disk of the file"


def _indexes(facts: Facts) -> Judged:
    if facts["missing_indexes"]:
        wrong = facts["wrong_indexes"]
        names = [f"{name} ({wrong[name]})" if name in wrong else name for name in facts["missing_indexes"]]
        yield "filter-walks", f"These indexes are missing, not valid or of something else: {', '.join(names)}"
    for name in facts.get("constraints", ()):
        yield "index-name-taken", f"A constraint has the name of an index of ours: {name}"


def _postgres(facts: Facts) -> Judged:
    off = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if facts.get(name) == "off"]
    if off:
        yield "not-synchronous", f"{', '.join(off)} off"
    if facts["is_replica"]:
        yield "replica", "The server is in recovery"
    if facts.get("synchronous_standby_names") and not facts["replicas"]:
        yield (
            "no-replica",
            f"synchronous_standby_names is {facts['synchronous_standby_names']!r}, and none is there",
        )
    yield from _replicas(facts)
    for slot in facts["idle_slots"]:
        if slot["kept"] > _BEHIND:
            yield "slot-idle", f"The slot {slot['name']!r} is idle and keeps {slot['kept'] // _MEBIBYTE:,} MiB"
    if not facts["tls"] and not facts["is_local"]:
        yield "no-tls", "The connection is not encrypted"
    if facts["superuser"]:
        yield "superuser", "The role of the agent is a superuser"
    if facts.get("autovacuum") == "off":
        yield "no-autovacuum", "autovacuum is off"
    yield from _indexes(facts)
    limit = int(facts["max_connections"]) - int(facts["superuser_reserved_connections"])
    wanted = facts["pool_max"] * workers()
    if wanted > limit:
        yield (
            "pool-too-large",
            f"{workers()} worker(s) with {facts['pool_max']} connections each; the server takes {limit}",
        )


def _redis(facts: Facts) -> Judged:
    policy = facts.get("maxmemory_policy", "noeviction")
    room = int(facts.get("maxmemory", 0))
    if policy != "noeviction" and room:
        yield "evicting-redis", f"maxmemory-policy {policy}"
    if int(facts.get("evicted_keys", 0)):
        yield "evicted", f"{int(facts['evicted_keys']):,} entries were evicted since the server began"
    if room and int(facts.get("used_memory", 0)) > _MEMORY * room:
        yield (
            "memory-nearly-full",
            f"{int(facts['used_memory']) // _MEBIBYTE:,} of {room // _MEBIBYTE:,} MiB are used",
        )
    yield from _redis_durability(facts)
    if facts.get("role") == "slave":
        yield "replica", "The server is a replica"
    if facts["wait_replicas"] > int(facts.get("connected_slaves", 0)):
        yield (
            "no-replica",
            f"{facts['wait_replicas']} replicas are waited for, {facts.get('connected_slaves')} are there",
        )
    yield from _replicas(facts)
    for name, why in facts.get("replica_faults", {}).items():
        yield "replica-down", f"{name}: {why}"
    if not facts["has_password"] and facts.get("asks_password") is False and not facts["is_local"]:
        yield "redis-without-password", "The server asks for no password"
    if not facts["tls"] and not facts["is_local"]:
        yield "no-tls", "The connection is not encrypted"


def _cluster(facts: Facts) -> Judged:
    if facts["uncovered"]:
        yield "slots-uncovered", f"{facts['uncovered']:,} of 16,384 slots have no master"
    for server, why in facts["silent"].items():
        yield "master-silent", f"The master {server} does not answer: {why}"


def _replicas(facts: Facts) -> Judged:
    for one in facts["followers"]:
        if one["late"] > _SILENT:
            yield "replica-lags", f"{one['name']} is {_duration(one['late'])} late"
        elif one["behind"] > _BEHIND:
            yield "replica-lags", f"{one['name']} is {one['behind'] // _MEBIBYTE:,} MiB behind"


def _redis_durability(facts: Facts) -> Judged:
    failed = [name for name in ("rdb_last_bgsave_status", "aof_last_write_status") if facts.get(name, "ok") != "ok"]
    if failed:
        yield "saving-fails", f"{', '.join(failed)}: {', '.join(facts[name] for name in failed)}"
    if facts.get("aof_enabled") == "0":
        kept = f"snapshots only (save {facts['save']})" if facts.get("save") else "no persistence"
        yield "not-synchronous", f"appendonly no: {kept}"
    elif facts.get("appendfsync") == "no":
        yield "not-synchronous", "appendfsync no"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _duration(seconds: float) -> str:
    for name, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"
