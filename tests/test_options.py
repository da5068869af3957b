"""The table of options is what the backends take and what the docs show."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import InvalidArgumentError, NamespacedBackend, open_url
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.options import OPTIONS, Option, options_of, split_url
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.runtime.template import DriverBackend
from ad_seller.storage.settings import SETTINGS
from ad_seller.storage.sqlite_backend import SQLiteBackend

BACKENDS: dict[str, type] = {
    "sqlite": SQLiteBackend,
    "redis": RedisBackend,
    "postgres": PostgresBackend,
    "memory": MemoryBackend,
}
#: What only code can say: where the store is, functions, and what comes from settings of its own.
IN_CODE = {"self", "settings", "database_url", "redis_url", "clock", "password"}
PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


def arguments(backend: type) -> set[str]:
    own = set(inspect.signature(backend).parameters)
    return (own | set(inspect.signature(DriverBackend.__init__).parameters)) - IN_CODE


@pytest.mark.parametrize("kind", BACKENDS)
def test_every_argument_is_in_the_table_and_the_other_way_round(kind: str) -> None:
    assert {option.argument for option in options_of(kind)} == arguments(BACKENDS[kind])


def test_names_are_used_once() -> None:
    assert len({option.argument for option in OPTIONS}) == len(OPTIONS)
    assert len({option.setting for option in OPTIONS}) == len(OPTIONS)
    assert len(set(SETTINGS)) == len(SETTINGS)


def row(option: Option) -> str:
    in_url = ", ".join(f"`{name}`" for name in option.parameters) or "none"
    kinds = "all" if len(option.backends) == len(BACKENDS) else ", ".join(option.backends)
    return (
        f"| `{option.argument}` | `{option.setting}` | {in_url} | {kinds} | {option.default} | {option.meaning} |"
    )


def test_the_page_shows_the_table() -> None:
    shown = re.findall(r"^\| `\w+` \| `[A-Z_]+` \|.*$", PAGE.read_text(), re.MULTILINE)
    assert shown == [row(option) for option in OPTIONS], "\n" + "\n".join(map(row, OPTIONS))


@pytest.mark.parametrize(
    ("kind", "url", "rest", "found"),
    [
        (
            "postgres",
            "postgresql://h/d?pool_max=5&sslmode=require",
            "postgresql://h/d?sslmode=require",
            {"pool_max": 5},
        ),
        ("postgres", "postgresql://h/d?pgbouncer=true", "postgresql://h/d", {"statement_cache": False}),
        ("postgres", "postgresql://h/d?statement_cache_size=0", "postgresql://h/d", {"statement_cache": False}),
        (
            "postgres",
            "postgresql://h/d?prepared_statement_cache_size=100",
            "postgresql://h/d",
            {"statement_cache": True},
        ),
        ("redis", "redis://h?key_prefix=%7Bt%7D%3A&db=1", "redis://h?db=1", {"key_prefix": "{t}:"}),
        ("redis", "redis://h?max_connections=50", "redis://h?max_connections=50", {}),
        ("redis", "redis://:p?timeout@h", "redis://:p?timeout@h", {}),
        ("sqlite", "./a?timeout=1.db", "./a?timeout=1.db", {}),
        ("sqlite", "sqlite:///a.db?timeout=1.5", "sqlite:///a.db", {"timeout": 1.5}),
    ],
)
def test_options_are_taken_out_of_urls(kind: str, url: str, rest: str, found: dict[str, object]) -> None:
    assert split_url(kind, url) == (rest, found)


def test_redis_options_by_url() -> None:
    backend = open_url("redis://h/1?key_prefix=tenant:&wait_replicas=1&timeout=2")
    assert isinstance(backend, RedisBackend)
    assert (backend.key_prefix, backend.timeout) == ("tenant:", 2)


@pytest.mark.parametrize("value", ["CERT_NONE", "None", "none", "CERT_REQUIRED", "cert_optional"])
@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster"])
def test_redis_tls_options_as_python_spells_them(scheme: str, value: str) -> None:
    assert isinstance(open_url(f"{scheme}://h:6379?ssl_cert_reqs={value}"), RedisBackend)


class TestHowFarFollowersLookBack:
    """`trim` refuses what they may still look at, and says how much that is."""

    @pytest.mark.parametrize(
        ("url", "seconds"),
        [
            ("memory://", 7),
            ("sqlite://", 12),
            ("sqlite://?timeout=3", 5),
            ("sqlite://?log_commit_seconds=30&log_clock_seconds=0.5", 30.5),
        ],
    )
    async def test_by_the_options(self, url: str, seconds: float) -> None:
        async with open_url(url) as storage:
            with pytest.raises(InvalidArgumentError, match=f"of the last {seconds:g} seconds"):
                await storage.log("event").trim(seconds - 0.1)
            await storage.log("event").trim(seconds)
            await storage.log("event", commit_seconds=0.2, clock_seconds=0.1).trim(0.3)

    async def test_by_the_slower_side_of_a_hybrid_also_in_a_namespace(self) -> None:
        sides = MemoryBackend(log_commit_seconds=8), MemoryBackend(log_clock_seconds=3)
        async with NamespacedBackend(HybridBackend(*sides), "a") as storage:
            with pytest.raises(InvalidArgumentError, match="of the last 11 seconds"):
                await storage.log("event").trim(1)

    @pytest.mark.parametrize("name", ["log_commit_seconds", "log_clock_seconds"])
    @pytest.mark.parametrize("seconds", [0, -1, "5", True, float("nan")])
    def test_what_is_no_time_is_refused(self, name: str, seconds: Any) -> None:
        with pytest.raises(InvalidArgumentError, match=name):
            MemoryBackend(**{name: seconds})
