"""What lies in the agent's store: counts by kind, values that cannot be read, keys that will not be found."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ad_seller.storage import (
    ConfigurationError,
    CorruptValueError,
    InvalidKeyError,
    StorageError,
    check_key,
    decode,
    open_url,
    redact,
)

from .stores import Key, read_postgres, read_sqlite

_SHOWN = 20  #: keys of each kind of trouble
_ON_REDIS = ("session:", "session_index:", "cache:", "lock:", "pubsub:", "rate_limit:")
_NAMES = ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL", "REDIS_KEY_PREFIX", "REDIS_PASSWORD")
_PASSWORDS = ("DATABASE_PASSWORD", "DB_PASSWORD", "PGPASSWORD")


@dataclass(slots=True)
class Census:
    """What was found.

    Attributes:
        store: which store, without its password.
        counts: entries by kind, which is what stands before the first colon of the key.
        expired: entries that have expired and are still there.
        others: keys of other programs in the same Redis database.
        unreadable: keys whose values are no JSON, with the reason; the first few.
        unreadable_count: how many there are.
        unfound: keys that no call of ours will find, with the reason; the first few.
        unfound_count: how many there are.
        problem: why nothing could be looked at.
    """

    store: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    expired: int = 0
    others: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    unreadable_count: int = 0
    unfound: dict[str, str] = field(default_factory=dict)
    unfound_count: int = 0
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in self._items()}

    def _items(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.__slots__]

    def see(self, key: Key, text: bytes | None, side: str = "") -> None:
        """Count an entry, and try to read it."""
        name, reason = _findable(key, side)
        self.counts[f"{name.partition(':')[0]}:" if ":" in name else "no kind"] += 1
        if reason is not None:
            self.unfound_count += 1
            if len(self.unfound) < _SHOWN:
                self.unfound[name] = reason
        if (problem := _unreadable(name, text)) is not None:
            self.unreadable_count += 1
            if len(self.unreadable) < _SHOWN:
                self.unreadable[name] = problem


def _findable(key: Key, side: str) -> tuple[str, str | None]:
    """Return a key as it is shown, and why no call will find it."""
    try:
        name = check_key(key.decode() if isinstance(key, bytes) else key)
    except UnicodeDecodeError:
        return repr(key), "the key is no UTF-8"
    except InvalidKeyError as error:
        return repr(key)[:200], str(error)
    on_redis = name.startswith(_ON_REDIS)
    if (side == "postgres" and on_redis) or (side == "redis" and not on_redis):
        other = "Redis" if on_redis else "PostgreSQL"
        return name, f"it lies in {side}, hybrid looks for it in {other}"
    return name, None


def _unreadable(key: str, text: bytes | None) -> str | None:
    if text is None:
        return "it is no text"
    try:
        decode(text, key=key)
    except CorruptValueError as error:
        return str(error.__cause__ or error)
    return None


def look(root: Path, url: str | None) -> Census:
    """Look at the store that ``--url`` or the agent's settings name; nothing in it is changed.

    Args:
        root: the checkout; its ``.env`` counts, and paths in the settings begin here.
        url: the store; None for the settings.
    """
    census = Census()
    try:
        settings = _settings(root)
        if url is None:
            _look(census, root, settings.get("STORAGE_TYPE", "sqlite").lower(), settings)
        else:
            kind = _kind_of(url)
            _look(census, Path.cwd(), kind, {**settings, "DATABASE_URL": url, "REDIS_URL": url})
    except Exception as error:
        # Whatever an engine's library raises: that the data cannot be looked at must not stop the rest.
        census.problem = redact(
            str(error) if isinstance(error, StorageError) else f"{type(error).__name__}: {error}"
        )
    return census


def _kind_of(url: str) -> str:
    scheme = url.partition("://")[0].lower() if "://" in url else "sqlite"
    kinds = {"redis": "redis", "unix": "redis", "postgres": "postgres", "sqlite": "sqlite"}
    return next((kind for start, kind in kinds.items() if scheme.startswith(start)), scheme)


def _settings(root: Path) -> dict[str, str]:
    """Return the settings that an agent started in this folder would see, names in upper case."""
    from dotenv import dotenv_values

    try:
        written: Mapping[str, str | None] = dotenv_values(root / ".env", interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{root / '.env'} cannot be read: {error}. Save it as UTF-8, or name the store by --url"
        ) from error
    wanted = {*_NAMES, *_PASSWORDS}
    pairs = [*written.items(), *os.environ.items()]
    return {name.upper(): value.strip() for name, value in pairs if value and name.upper() in wanted}


def _look(census: Census, root: Path, kind: str, settings: dict[str, str]) -> None:
    database, redis = settings.get("DATABASE_URL", "sqlite:///./ad_seller.db"), settings.get("REDIS_URL", "")
    if kind == "sqlite":
        _look_at_file(census, root, database)
    elif kind == "redis":
        _look_at_redis(census, redis, settings, "")
    elif kind in ("postgres", "hybrid"):
        _look_at_postgres(census, database, settings, "postgres" if kind == "hybrid" else "")
        if kind == "hybrid":
            _look_at_redis(census, redis, settings, "redis")
    else:
        census.problem = f"The storage type {kind!r} cannot be looked at from here"


def _look_at_file(census: Census, root: Path, url: str) -> None:
    scheme, separator, rest = url.partition(":///")
    name = (rest if separator else scheme).partition("?")[0]
    if separator and not scheme.startswith("sqlite"):
        raise ConfigurationError(
            f"{redact(url)} is no SQLite file, though the storage type is sqlite. Set STORAGE_TYPE"
        )
    census.store = name
    if name in ("", ":memory:"):
        census.problem = "A store in memory; there is nothing to look at"
        return
    path = root / Path(name).expanduser()
    if not path.is_file():
        census.problem = f"There is no file {str(path)!r} yet, or the agent is started in another folder"
        return
    census.expired = read_sqlite(path, census.see)


def _look_at_redis(census: Census, url: str, settings: dict[str, str], side: str) -> None:
    if not url.startswith(("redis", "unix://")):
        raise ConfigurationError("A Redis URL such as redis://host:6379/0 is needed: set REDIS_URL, or give --url")
    census.store = ", ".join(filter(None, (census.store, redact(url))))
    open_url(url)  # nothing is connected: it says what is wrong with the URL, or which library is missing
    from .redis_store import read_redis

    prefix = settings.get("REDIS_KEY_PREFIX", "ad_seller:")
    census.others += read_redis(
        url, settings.get("REDIS_PASSWORD"), prefix, lambda key, text: census.see(key, text, side)
    )


def _look_at_postgres(census: Census, url: str, settings: dict[str, str], side: str) -> None:
    if not url.startswith("postgres"):
        raise ConfigurationError("A PostgreSQL URL is needed: set DATABASE_URL, or give --url")
    census.store = redact(url)
    open_url(url)  # as above
    password = next((settings[name] for name in _PASSWORDS if name in settings), None)
    has_password = ":" in url.partition("://")[2].rpartition("@")[0]
    secret = None if has_password else password
    if read_postgres(url, secret, lambda key, text: census.see(key, text, side)) is None:
        census.problem = "The database has no table of an agent yet"
