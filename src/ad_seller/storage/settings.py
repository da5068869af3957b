"""Settings from the environment or a ``.env`` file; the environment comes first."""

from __future__ import annotations

import os
from dataclasses import dataclass

from dotenv import dotenv_values, find_dotenv

DEFAULT_DATABASE_URL = "sqlite:///./ad_seller.db"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the storage is.

    Attributes:
        storage_type: ``STORAGE_TYPE``: a built-in or registered name.
        database_url: ``DATABASE_URL``, or None.
        redis_url: ``REDIS_URL``, or None.
        postgres_pool_min: ``POSTGRES_POOL_MIN``, as text.
        postgres_pool_max: ``POSTGRES_POOL_MAX``, as text.
    """

    storage_type: str
    database_url: str | None
    redis_url: str | None
    postgres_pool_min: str
    postgres_pool_max: str


def load_settings() -> Settings:
    """Read the settings; an empty variable counts as absent."""
    values = dotenv_values(find_dotenv(usecwd=True), interpolate=False) | os.environ
    return Settings(
        storage_type=values.get("STORAGE_TYPE") or "sqlite",
        database_url=values.get("DATABASE_URL") or None,
        redis_url=values.get("REDIS_URL") or None,
        postgres_pool_min=values.get("POSTGRES_POOL_MIN") or "2",
        postgres_pool_max=values.get("POSTGRES_POOL_MAX") or "10",
    )
