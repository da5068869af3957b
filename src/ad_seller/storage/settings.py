"""Settings from the environment or a ``.env`` file; the environment comes first, and case does not count."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ConfigurationError
from .options import OPTIONS, flag

log = logging.getLogger("ad_seller.storage")

DEFAULT_DATABASE_URL = "sqlite:///./ad_seller.db"
DATABASE_PASSWORDS = ("DATABASE_PASSWORD", "DB_PASSWORD", "PGPASSWORD")
REDIS_PASSWORDS = ("REDIS_PASSWORD",)

#: Every setting that is read.
SETTINGS = (
    "STORAGE_TYPE",
    "DATABASE_URL",
    "REDIS_URL",
    "STORAGE_NAMESPACE",
    "STORAGE_TELEMETRY",
    *DATABASE_PASSWORDS,
    *REDIS_PASSWORDS,
    *(option.setting for option in OPTIONS),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the storage is.

    Attributes:
        storage_type: ``STORAGE_TYPE``, or None: a built-in or registered name.
        database_url: ``DATABASE_URL``, or None.
        redis_url: ``REDIS_URL``, or None.
        database_password: for a PostgreSQL URL without one, or None.
        redis_password: for a Redis URL without one, or None.
        namespace: ``STORAGE_NAMESPACE``, or None: the entries of all.
        telemetry: ``STORAGE_TELEMETRY``: whether calls are told of to OpenTelemetry.
        durations: how these are told: "counters" if ``STORAGE_TELEMETRY`` says so, or else "histogram".
        options: the text of every other setting that is there, by its name; see `OPTIONS`.
    """

    storage_type: str | None = None
    database_url: str | None = None
    redis_url: str | None = None
    database_password: str | None = field(default=None, repr=False)
    redis_password: str | None = field(default=None, repr=False)
    namespace: str | None = None
    telemetry: bool = False
    durations: str = "histogram"
    options: Mapping[str, str] = field(default_factory=dict)


def load_settings() -> Settings:
    """Read the settings; an empty variable counts as absent, blanks and line ends around a value are cut.

    Raises:
        ConfigurationError: there is a ``.env`` file that is no text, or a setting that cannot be read.
    """
    values = _known(_written()) | _known(os.environ)

    def first(names: tuple[str, ...]) -> str | None:
        return next((values[name] for name in names if name in values), None)

    telemetry = values.get("STORAGE_TELEMETRY", "off").lower()
    return Settings(
        values.get("STORAGE_TYPE"),
        values.get("DATABASE_URL"),
        values.get("REDIS_URL"),
        first(DATABASE_PASSWORDS),
        first(REDIS_PASSWORDS),
        values.get("STORAGE_NAMESPACE"),
        telemetry == "counters" or flag("STORAGE_TELEMETRY", telemetry),
        "counters" if telemetry == "counters" else "histogram",
        {option.setting: values[option.setting] for option in OPTIONS if option.setting in values},
    )


def read_variables() -> dict[str, str]:
    """Return every variable of the nearest ``.env`` and of the environment, which comes first; names in capitals.

    Raises:
        ConfigurationError: there is a ``.env`` file that is no text.
    """
    pairs = [*_written().items(), *os.environ.items()]
    return {name.upper(): text.strip() for name, text in pairs if text and text.strip()}


def _known(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Return our settings among variables, whatever their case; of several, the one in capitals counts."""
    found: dict[str, str] = {}
    for name in sorted(variables, reverse=True):  # capitals sort first, so they come last and win
        text = (variables[name] or "").strip()
        if text and name.upper() in SETTINGS:
            found[name.upper()] = text
    return found


def _written() -> dict[str, str | None]:
    """Return what the nearest ``.env`` says, in the working folder or one above it."""
    file = _nearest()
    if file is None:
        return {}
    from dotenv import dotenv_values  # costs a fifth of our start, and most have no such file

    try:
        return dotenv_values(file, interpolate=False)
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"The settings in {str(file)!r} cannot be read: {error}. Save the file as UTF-8."
        ) from error
    except OSError as error:
        log.warning("The settings in %r cannot be read and are left out: %s", str(file), error.strerror)
        return {}


def _nearest() -> Path | None:
    """Return the nearest ``.env``; a folder that was removed, or may not be looked into, has none."""
    try:
        here = Path.cwd()
    except OSError:
        return None
    return next((file for folder in (here, *here.parents) if _is_file(file := folder / ".env")), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
