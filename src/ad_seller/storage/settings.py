"""Settings from the environment or a ``.env`` file; the environment comes first."""

from __future__ import annotations

import os
from dataclasses import dataclass

from dotenv import dotenv_values, find_dotenv

from .errors import ConfigurationError

DEFAULT_DATABASE_URL = "sqlite:///./ad_seller.db"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the storage is.

    Attributes:
        storage_type: ``STORAGE_TYPE``: a built-in or registered name.
        database_url: ``DATABASE_URL``, or None.
        redis_url: ``REDIS_URL``, or None.
        redis_key_prefix: ``REDIS_KEY_PREFIX``.
        redis_wait_replicas: ``REDIS_WAIT_REPLICAS``, as text.
        postgres_pool_min: ``POSTGRES_POOL_MIN``, as text.
        postgres_pool_max: ``POSTGRES_POOL_MAX``, as text.
    """

    storage_type: str
    database_url: str | None
    redis_url: str | None
    redis_key_prefix: str
    redis_wait_replicas: str
    postgres_pool_min: str
    postgres_pool_max: str


def load_settings() -> Settings:
    """Read the settings; an empty variable counts as absent.

    Raises:
        ConfigurationError: there is a ``.env`` file that cannot be read.
    """
    file = find_dotenv(usecwd=True)
    try:
        written = dotenv_values(file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The settings in {file!r} cannot be read: {error}") from error
    values = written | {name: value for name, value in os.environ.items() if value}
    return Settings(
        storage_type=values.get("STORAGE_TYPE") or "sqlite",
        database_url=values.get("DATABASE_URL") or None,
        redis_url=values.get("REDIS_URL") or None,
        redis_key_prefix=values.get("REDIS_KEY_PREFIX") or "ad_seller:",
        redis_wait_replicas=values.get("REDIS_WAIT_REPLICAS") or "0",
        postgres_pool_min=values.get("POSTGRES_POOL_MIN") or "2",
        postgres_pool_max=values.get("POSTGRES_POOL_MAX") or "10",
    )
