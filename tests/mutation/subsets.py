"""Which tests belong to a module: those that meet its mutants, the quickest first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.docs_samples import ROOT

PACKAGE = ROOT / "src" / "ad_seller" / "storage"


@dataclass(frozen=True)
class Subset:
    """Tests, as pytest takes them.

    Attributes:
        tests: files, in the order in which they run.
        chosen: an expression for ``-k``.
        servers: what must run: "redis", "postgres".
        environment: for the tests.
    """

    tests: tuple[str, ...]
    chosen: str = ""
    servers: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=lambda: {"MODEL": "0.5", "SCHEDULES": "0.3"})

    @property
    def arguments(self) -> list[str]:
        """What pytest gets."""
        return [*self.tests, *(["-k", self.chosen] if self.chosen else [])]


_ATOMIC = ("tests/atomic/test_operations.py", "tests/atomic/test_transaction_rules.py")

_SQLITE = Subset(
    (
        "tests/sqlite/test_commits.py",
        *_ATOMIC,
        "tests/runtime/test_expiry_boundary.py",
        "tests/sqlite/test_listing.py",
        "tests/sqlite/test_sweep.py",
        "tests/sqlite/test_filters.py",
        "tests/sqlite/test_damaged_entries.py",
        "tests/sqlite/test_older_file.py",
        "tests/sqlite/test_lock_wait.py",
        "tests/sqlite/test_file.py",
        "tests/sqlite/test_unusable_file.py",
        "tests/sqlite/test_lifecycle.py",
        "tests/model/test_local.py",
    ),
    "sqlite",
)
_REDIS = Subset(
    (
        "tests/redis/test_commits.py",
        *_ATOMIC,
        "tests/redis/test_shared_data.py",
        "tests/redis/test_listing.py",
        "tests/redis/test_index.py",
        "tests/redis/test_index_trust.py",
        "tests/redis/test_callers.py",
        "tests/redis/test_lifecycle.py",
        "tests/model/test_servers.py",
    ),
    "redis and not hybrid",
    ("redis",),
)
_REDIS_INDEX = replace(
    _REDIS,
    tests=tuple(
        f"tests/redis/test_{name}.py"
        for name in ("listing", "index", "index_trust", "kinds", "commits", "shared_data", "lifecycle")
    ),
)
_POSTGRES = Subset(
    (
        "tests/postgres/test_statements.py",
        "tests/postgres/test_commits.py",
        "tests/postgres/test_many_deletes.py",
        "tests/postgres/test_filters.py",
        "tests/model/test_servers.py",
    ),
    "postgres and not hybrid",
    ("postgres",),
)
_POSTGRES_SCHEMA = replace(
    _POSTGRES,
    tests=tuple(
        f"tests/postgres/test_{name}.py"
        for name in (
            "statements",
            "filters",
            "schema",
            "index_building",
            "indexes_of_our_name",
            "names_that_are_taken",
        )
    ),
)

#: Tried where no module is named.
SUBSETS = {
    "records/keys": Subset(("tests/records/test_keys.py", "tests/test_refusals.py")),
    "records/expiry": Subset(("tests/records/test_expiry.py", "tests/test_refusals.py")),
    **dict.fromkeys(
        ("records/codec", "records/values"),
        Subset(("tests/records/test_codec.py", "tests/records/test_decoding.py", "tests/test_refusals.py")),
    ),
    **dict.fromkeys(
        ("runtime/batcher", "runtime/deadlines"),
        Subset(
            ("tests/runtime/test_batcher.py", "tests/runtime/test_deadlines.py", "tests/schedules/test_batcher.py")
        ),
    ),
    "atomic/transaction": Subset(
        ("tests/atomic/test_transaction_rules.py", "tests/atomic/test_transaction.py"), "memory"
    ),
    **dict.fromkeys(("sqlite/statements", "sqlite/fields", "sqlite/schema"), _SQLITE),
    "redis/scripts": _REDIS,
    **dict.fromkeys(("redis/index", "redis/listings"), _REDIS_INDEX),
    **dict.fromkeys(("postgres/statements", "postgres/commits"), _POSTGRES),
    **dict.fromkeys(("postgres/fields", "postgres/indexes", "postgres/schema"), _POSTGRES_SCHEMA),
}

#: The other modules, by what their names begin with: the longest counts.
WINGS = {
    "atomic/": Subset(("tests/atomic",), "memory or dict"),
    **dict.fromkeys(
        ("atomic/bulk", "base"),
        Subset(("tests/test_base.py", "tests/test_interface.py", "tests/conformance/test_custom.py")),
    ),
    "capabilities": Subset(("tests/test_base.py", "tests/conformance/test_custom.py")),
    "health": Subset(("tests/test_stats.py",)),
    "concurrency/": Subset(("tests/concurrency", "tests/runtime/test_batcher.py", "tests/atomic/test_update.py")),
    "driver/": Subset(
        ("tests/memory", "tests/atomic/test_operations.py", "tests/conformance/test_memory.py"), "not redis"
    ),
    "errors": Subset(("tests/test_redaction.py", "tests/test_refusals.py")),
    "factory": Subset(("tests/test_factory.py", "tests/test_settings.py")),
    "hybrid/": Subset(("tests/hybrid/test_hybrid.py",), "", ("redis", "postgres")),
    "stats": Subset(("tests/test_stats.py",), "memory or sqlite"),
    "telemetry/": Subset(("tests/telemetry",), "memory or sqlite"),
    "memory/": Subset(
        ("tests/memory", "tests/model/test_local.py", "tests/conformance/test_memory.py"), "not sqlite"
    ),
    "namespaces/": Subset(("tests/conformance/test_namespaces.py",), "Memory or SQLite or Directory"),
    "operations/": Subset(("tests/operations",), "", ("redis", "postgres")),
    "operations/backup": Subset(("tests/operations/test_backup.py",)),
    "operations/doctor/": Subset(
        tuple(f"tests/operations/test_doctor{name}.py" for name in ("", "_deployment", "_indexes", "_replicas")),
        "",
        ("redis", "postgres"),
    ),
    "operations/erasure": Subset(("tests/operations/test_erasure.py",)),
    "operations/retention": Subset(
        ("tests/operations/test_retention.py", "tests/operations/test_retention_rules.py")
    ),
    **dict.fromkeys(
        ("operations/fields", "operations/rule_files"),
        Subset(
            tuple(f"tests/operations/test_{name}.py" for name in ("retention_rules", "erasure", "retention")),
        ),
    ),
    "options": Subset(("tests/test_options.py", "tests/test_settings.py")),
    "passwords": Subset(("tests/redis/test_passwords.py",), "", ("redis",)),
    "postgres/": replace(_POSTGRES, tests=("tests/postgres",)),
    "postgres/url": Subset(("tests/postgres/test_url.py",)),
    "records/": Subset(("tests/records", "tests/test_refusals.py")),
    "redis/": replace(_REDIS, tests=("tests/redis",), chosen="redis"),
    "redis/commits": _REDIS,
    **dict.fromkeys(("redis/listener", "redis/news", "redis/rounds", "redis/tracker", "redis/walks"), _REDIS_INDEX),
    "redis/url": Subset(("tests/redis/test_url.py", "tests/redis/test_group_url.py")),
    "registry": Subset(("tests/test_registry.py",)),
    "runtime/": Subset(
        ("tests/runtime", "tests/schedules", "tests/test_failure_table.py"), "memory or Batcher or schedules"
    ),
    "seller/": Subset(
        (
            "tests/seller",
            "tests/atomic/test_lifecycle.py",
            "tests/atomic/test_log.py",
            "tests/atomic/test_outbox.py",
            "tests/atomic/test_outbox_leases.py",
        ),
        "memory or seller",
    ),
    "settings": Subset(("tests/test_settings.py",)),
    "sqlite/": replace(_SQLITE, tests=("tests/sqlite",), chosen=""),
    "sqlite/url": Subset(("tests/sqlite/test_url.py",)),
    "sync/": Subset(
        (
            "tests/sync/test_calls.py",
            "tests/sync/test_threads.py",
            "tests/sync/test_effects.py",
            "tests/sync/test_processes.py",
        )
    ),
    "sync/methods/": Subset(("tests/sync/test_derived.py",)),
}

#: Why what begins so is not tried.
LEFT_OUT = {
    "_backend": "names of what stands elsewhere",
    "cli/": "each mutant would start the command some hundred times; its tests compare what is written",
    "fastapi": "two functions, each of which one test calls",
    "owners": "what is known of a process after a fork: a mutant can hang the tests themselves",
    "testing/": "the broken backends are its mutants, one for each check and more: tests/broken",
}


def subset_of(module: str) -> Subset | None:
    """Return the tests of a module, named by its path without ``.py``; None for one that is left out."""
    if module in SUBSETS:
        return SUBSETS[module]
    found = [name for name in WINGS if module.startswith(name)]
    return WINGS[max(found, key=len)] if found and reason(module) is None else None


def reason(module: str) -> str | None:
    """Return why a module is left out."""
    return next((why for what, why in LEFT_OUT.items() if module.startswith(what) or module.endswith(what)), None)


def modules() -> list[str]:
    """Return all modules that have anything in them, those that are left out, too."""
    found = (path for path in sorted(PACKAGE.rglob("*.py")) if not path.name.startswith("__"))
    return [str(path.relative_to(PACKAGE).with_suffix("")) for path in found]
