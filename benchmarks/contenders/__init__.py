"""Who takes part. Nothing of a contender is imported before it is opened, in its own process."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Literal

from ..contender import Contender

Role = Literal["ours", "peer", "limit"]


@dataclass(frozen=True)
class Entry:
    """A contender by name.

    Attributes:
        name: What the command line and the results call it.
        label: What the tables and plots call it.
        engine: Where it stores.
        role: Ours, another's, or what the engine gives without an event loop.
        durability: What an acknowledged write survives.
        codec: What turns values to text and back.
        target: "module:Class" in this package.
        durable: Whether its writes are as durable as ours; only then are they compared with ours.
        writes_only: It stands beside another row, to show what durability costs; only writes are measured.
        grows: It takes part in the growth plot.
    """

    name: str
    label: str
    engine: str
    role: Role
    durability: str
    codec: str
    target: str
    durable: bool = True
    writes_only: bool = False
    grows: bool = False

    def make(self, place: str) -> Contender:
        module, _, name = self.target.partition(":")
        contender: Contender = getattr(importlib.import_module(f"{__name__}.{module}"), name)(place)
        return contender

    @property
    def type(self) -> type[Contender]:
        """The class; importing it brings no third-party library."""
        return type(self.make(""))


_FULL = "power failure (synchronous=FULL)"
_NORMAL = "process end (synchronous=NORMAL)"
_REDIS = "nothing (server in memory)"
_POSTGRES = "power failure (synchronous_commit=on)"

ALL = (
    Entry("memory", "ours, memory", "memory", "ours", "nothing", "msgspec", "ours:Memory", durable=False),
    # --- SQLite ----------------------------------------------------------------------------------------
    Entry("sqlite", "ours", "sqlite", "ours", _FULL, "msgspec", "ours:SQLite", grows=True),
    Entry("sqlite-normal", "ours, NORMAL", "sqlite", "ours", _NORMAL, "msgspec", "ours:SQLiteNormal",
          durable=False, writes_only=True),
    Entry("pkv-disk", "py-key-value disk", "sqlite", "peer", _NORMAL, "its own (json)", "key_value:Disk",
          durable=False),
    Entry("pkv-disk-full", "py-key-value disk, FULL", "sqlite", "peer", _FULL, "its own (json)",
          "key_value:DiskFull", writes_only=True),
    Entry("langgraph", "LangGraph AsyncSqliteStore", "sqlite", "peer", _FULL, "its own (orjson)",
          "sqlite_stores:LangGraph", grows=True),
    Entry("diskcache", "diskcache in a thread", "sqlite", "peer", _FULL, "its own (pickle)",
          "sqlite_stores:DiskCache"),
    Entry("aiosqlite", "naive aiosqlite", "sqlite", "peer", _FULL, "json", "sqlite_plain:Naive", grows=True),
    Entry("sqlite3", "raw sqlite3, batched", "sqlite", "limit", _FULL, "msgspec", "sqlite_plain:Raw", grows=True),
    # --- Redis -----------------------------------------------------------------------------------------
    Entry("redis", "ours", "redis", "ours", _REDIS, "msgspec", "ours:Redis", grows=True),
    Entry("pkv-redis", "py-key-value redis", "redis", "peer", _REDIS, "its own (json)", "key_value:Redis"),
    Entry("glide", "valkey-glide", "redis", "peer", _REDIS, "json", "redis_clients:Glide", grows=True),
    Entry("coredis", "coredis", "redis", "peer", _REDIS, "json", "redis_clients:Coredis"),
    Entry("redis-py", "plain redis-py", "redis", "peer", _REDIS, "json", "redis_clients:RedisPy", grows=True),
    Entry("socket", "raw socket, pipelined", "redis", "limit", _REDIS, "msgspec", "redis_raw:Socket", grows=True),
    # --- PostgreSQL ------------------------------------------------------------------------------------
    Entry("postgres", "ours", "postgres", "ours", _POSTGRES, "msgspec", "ours:Postgres", grows=True),
    Entry("pkv-postgres", "py-key-value postgresql", "postgres", "peer", _POSTGRES, "its own (json)",
          "key_value:Postgres"),
    Entry("asyncpg", "raw asyncpg, prepared", "postgres", "limit", _POSTGRES, "msgspec",
          "postgres_plain:Prepared", grows=True),
    Entry("pgbench", "pgbench, prepared", "postgres", "limit", _POSTGRES, "none", "pgbench:Pgbench"),
)  # fmt: skip

BY_NAME = {entry.name: entry for entry in ALL}


def of_engine(engine: str) -> list[Entry]:
    return [entry for entry in ALL if entry.engine == engine]
