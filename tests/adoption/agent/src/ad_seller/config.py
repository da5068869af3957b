"""Settings, from the environment."""

import os
from dataclasses import dataclass


@dataclass
class Settings:
    storage_type: str
    database_url: str
    redis_url: str | None
    pool_min: int
    pool_max: int


def get_settings():
    def value(name, default=None):
        return os.environ.get(name, os.environ.get(name.lower(), default))

    return Settings(
        storage_type=value("STORAGE_TYPE", "sqlite"),
        database_url=value("DATABASE_URL", "sqlite:///./ad_seller.db"),
        redis_url=value("REDIS_URL"),
        pool_min=int(value("POSTGRES_POOL_MIN", 1)),
        pool_max=int(value("POSTGRES_POOL_MAX", 4)),
    )
