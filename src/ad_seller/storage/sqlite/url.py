"""The forms in which a SQLite file can be named."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ConfigurationError, redact, shown_url

MEMORY = ":memory:"
_SCHEMES = ("sqlite://", "sqlite+aiosqlite://")
_SUFFIXES = (".db", ".sqlite", ".sqlite3")
_STARTS = ("/", "./", "../", "~/")
_CONNECTION = re.compile(r"[@=]|:[0-9]+(?:[/,]|$)")  #: a login, keywords, or host:port
_HARMLESS = re.compile(r"[\w./~-]{1,80}")  #: what can be shown although it may be anything


def parse_sqlite_url(url: object) -> str:
    """Return the path of the database file, or ``:memory:``.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, the same with ``sqlite+aiosqlite:``,
            ``sqlite://`` or ``:memory:`` for a database in memory, or a plain path. Blanks around it are cut.

    Raises:
        ConfigurationError: it is something else, e.g. the URL of another engine.
    """
    if not isinstance(url, str) or not url.strip() or "\0" in url:
        raise ConfigurationError(
            f"A SQLite URL is a non-empty str such as sqlite:///./ad_seller.db, not {shown_url(url)}"
        )
    url = url.strip()
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url if url == MEMORY else _plain_path(url)
    if f"{scheme.lower()}://" not in _SCHEMES:
        raise ConfigurationError(
            f"{redact(url)!r} is not a SQLite URL; use sqlite:///path, or choose the storage type that fits "
            "its scheme (STORAGE_TYPE)"
        )
    if rest and not rest.startswith("/"):
        raise ConfigurationError(
            f"{redact(url)!r} names a host; SQLite wants three slashes (sqlite:///relative.db) or four "
            "(sqlite:////absolute.db)"
        )
    path = rest[1:]
    if "?" in path:
        raise ConfigurationError(f"{redact(url)!r}: options after '?' are not supported; give them as arguments")
    return path or MEMORY


def _plain_path(text: str) -> str:
    """Return the path if this is plainly a file: a connection string must not become one of that name."""
    is_connection = _CONNECTION.search(text) is not None
    if not is_connection:
        _check_slashes(text)
    if is_connection or not (text.endswith(_SUFFIXES) or text.startswith(_STARTS) or _is_there(text)):
        what = repr(text) if _HARMLESS.fullmatch(text) else "What was given as the database"
        raise ConfigurationError(
            f"{what} is neither a URL nor plainly a file. A URL starts with sqlite:///, postgresql:// or redis://; "
            "a file ends in .db, .sqlite or .sqlite3, or starts with / or ./ (sqlite:///NAME takes any name)"
        )
    return str(Path(text).expanduser()) if text.startswith("~/") else text


def _check_slashes(url: str) -> None:
    """Refuse ``redis:host``, a URL that lost its slashes: it would be taken for the name of a file."""
    if re.match(r"(?i)[a-z][a-z0-9+]+:(?!//)", url):
        raise ConfigurationError(
            f"{redact(url.partition(':')[0])!r} and a colon start this name, but '://' does not follow. For a URL "
            "add the slashes, for a file of that name put ./ before it."
        )


def _is_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:
        return False
