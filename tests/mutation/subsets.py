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
        f"tests/redis/test_{name}.py" for name in ("listing", "index", "commits", "shared_data", "lifecycle")
    ),
)
_POSTGRES = Subset(
    (
        "tests/postgres/test_statements.py",
        "tests/postgres/test_commits.py",
        "tests/postgres/test_filters.py",
        "tests/model/test_servers.py",
    ),
    "postgres and not hybrid",
    ("postgres",),
)
_POSTGRES_SCHEMA = replace(
    _POSTGRES,
    tests=tuple(f"tests/postgres/test_{name}.py" for name in ("statements", "filters", "schema", "index_building")),
)

SUBSETS = {
    "records/keys": Subset(("tests/records/test_keys.py", "tests/test_refusals.py")),
    "records/expiry": Subset(("tests/records/test_expiry.py", "tests/test_refusals.py")),
    "records/codec": Subset(
        ("tests/records/test_codec.py", "tests/records/test_decoding.py", "tests/test_refusals.py")
    ),
    "records/values": Subset(
        ("tests/records/test_codec.py", "tests/records/test_decoding.py", "tests/test_refusals.py")
    ),
    "runtime/batcher": Subset(("tests/runtime/test_batcher.py", "tests/schedules/test_batcher.py")),
    "atomic/transaction": Subset(
        ("tests/atomic/test_transaction_rules.py", "tests/atomic/test_transaction.py"), "memory"
    ),
    **dict.fromkeys(("sqlite/statements", "sqlite/fields", "sqlite/schema"), _SQLITE),
    "redis/scripts": _REDIS,
    **dict.fromkeys(("redis/index", "redis/listings"), _REDIS_INDEX),
    **dict.fromkeys(("postgres/statements", "postgres/commits"), _POSTGRES),
    **dict.fromkeys(("postgres/fields", "postgres/indexes", "postgres/schema"), _POSTGRES_SCHEMA),
}
