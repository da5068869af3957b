"""Settings from the environment or a ``.env`` file; the environment comes first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

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
    values = _written() | {name: value for name, value in os.environ.items() if value}
    return Settings(
        storage_type=values.get("STORAGE_TYPE") or "sqlite",
        database_url=values.get("DATABASE_URL") or None,
        redis_url=values.get("REDIS_URL") or None,
        redis_key_prefix=values.get("REDIS_KEY_PREFIX") or "ad_seller:",
        redis_wait_replicas=values.get("REDIS_WAIT_REPLICAS") or "0",
        postgres_pool_min=values.get("POSTGRES_POOL_MIN") or "2",
        postgres_pool_max=values.get("POSTGRES_POOL_MAX") or "10",
    )


def _written() -> dict[str, str | None]:
    """Return what the nearest ``.env`` says, in the working folder or one above it."""
    here = Path.cwd()
    file = next((file for folder in (here, *here.parents) if (file := folder / ".env").is_file()), None)
    if file is None:
        return {}
    from dotenv import dotenv_values  # costs a fifth of our start, and most have no such file

    try:
        return dotenv_values(file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The settings in {str(file)!r} cannot be read: {error}") from error
