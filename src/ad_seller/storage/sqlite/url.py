"""The forms in which a SQLite file can be named."""

from __future__ import annotations

from ..errors import ConfigurationError, check_slashes, redact, shown_url

MEMORY = ":memory:"
_SCHEMES = ("sqlite://", "sqlite+aiosqlite://")


def parse_sqlite_url(url: object) -> str:
    """Return the path of the database file, or ``:memory:``.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, the same with ``sqlite+aiosqlite:``,
            ``sqlite://`` or ``:memory:`` for a database in memory, or a plain path.

    Raises:
        ConfigurationError: it is something else, e.g. the URL of another engine.
    """
    if not isinstance(url, str) or not url.strip() or "\0" in url:
        raise ConfigurationError(
            f"A SQLite URL is a non-empty str such as sqlite:///./ad_seller.db, not {shown_url(url)}"
        )
    scheme, separator, rest = url.partition("://")
    if not separator:
        check_slashes(url)
        return url
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
