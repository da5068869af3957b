"""The forms in which a PostgreSQL database can be named."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, urlencode, urlsplit

from ..errors import ConfigurationError, redact, shown

_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

#: Options of other drivers that asyncpg would send to the server, which knows none of that name.
_FOREIGN = {
    "pool_size": "write pool_max=",
    "max_overflow": "write pool_max=",
    "connection_limit": "write pool_max=",
    "max_size": "write pool_max=",
    "min_size": "write pool_min=",
    "minsize": "write pool_min=",
    "maxsize": "write pool_max=",
    "pool_timeout": "write timeout=",
    "command_timeout": "write timeout=",
    "socketTimeout": "write timeout=",
    "load_balance_hosts": "asyncpg does not know it",
    "sslcrldir": "asyncpg does not know it",
    "requirepeer": "asyncpg does not know it",
}

#: Options of libpq and of large providers without which everything is as safe and as right; asyncpg knows none.
_HARMLESS = frozenset(
    {
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "sslcompression",
    }
    | {"sslsni", "gssencmode", "channel_binding", "connect_timeout", "client_encoding"}
)

#: What other drivers call a setting of the server.
_SETTINGS = {
    "schema": "search_path",
    "currentSchema": "search_path",
    "fallback_application_name": "application_name",
    "ApplicationName": "application_name",
}


def parse_postgres_url(url: object) -> str:
    """Return the URL as asyncpg reads it.

    Args:
        url: ``postgresql://user:password@host:5432/database``, the same with ``postgres:`` or
            ``postgresql+asyncpg:``; several hosts as ``host1:5432,host2:5432``, of which the first is taken that
            can be written to; a Unix socket as ``postgresql://user@/database?host=/var/run/postgresql``; TLS by
            ``?sslmode=verify-full&sslrootcert=…`` or ``?ssl=require``. What is left out comes from PGHOST,
            PGUSER, PGPASSWORD, .pgpass and so on, as in psql.

    Raises:
        ConfigurationError: it is something else, e.g. the URL of another engine.
    """
    if not isinstance(url, str) or not url.strip():
        raise ConfigurationError(
            "PostgreSQL URL required: pass database_url or set DATABASE_URL, e.g. "
            "postgresql://user:password@localhost:5432/ad_seller"
        )
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise ConfigurationError(
            "A PostgreSQL URL starts with postgresql://, postgres:// or postgresql+asyncpg://, "
            f"not {shown(redact(url))}"
        )
    text = f"postgresql://{rest}"
    hosts = _check_parts(text)
    return _with_options(text, hosts)


def _check_parts(text: str) -> int:
    """Check what asyncpg would report with a part of the password in it; return how many hosts there are."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ConfigurationError(f"Not a PostgreSQL URL: {redact(text)!r}") from None
    login, _, hosts = parts.netloc.rpartition("@")
    names = hosts.split(",") if hosts else []
    if parts.fragment or "@" in login or "@" in parts.path or not all(map(_is_host, names)):
        raise ConfigurationError(
            f"{shown(redact(text))} names no host:port. If the password contains special characters, "
            "percent-encode them (/ is %2F, # is %23, ? is %3F, @ is %40)"
        )
    return len(names)


def _is_host(name: str) -> bool:
    host, colon, port = name.rpartition(":")
    if not colon or name.endswith("]"):
        return bool(name)
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def _with_options(text: str, hosts: int) -> str:
    """Translate SQLAlchemy's ``ssl``, refuse what asyncpg cannot take, and choose a host that can be written to."""
    base, _, query = text.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if query and not all(options.values()):
        raise ConfigurationError(f"{redact(text)!r}: options are written ?name=value&name=value")
    for name, advice in _FOREIGN.items():
        if name in options:
            raise ConfigurationError(f"{redact(text)!r}: remove {name!r} from the URL; {advice}")
    options = {name: value for name, value in options.items() if name not in _HARMLESS}
    for foreign, setting in _SETTINGS.items():
        if foreign in options:
            options.setdefault(setting, options.pop(foreign))
    if "ssl" in options:
        options["sslmode"] = {"true": "require", "false": "disable"}.get(options["ssl"], options["ssl"])
        del options["ssl"]
    if (mode := options.get("sslmode", "prefer")) not in _SSL_MODES:
        raise ConfigurationError(f"{redact(text)!r}: sslmode is one of {', '.join(_SSL_MODES)}, not {shown(mode)}")
    if hosts > 1 or "," in options.get("host", ""):
        options.setdefault("target_session_attrs", "read-write")
    return f"{base}?{urlencode(options)}" if options else base


def dsn_of_each_host(dsn: str) -> tuple[str, ...]:
    """Return a URL for each host that one names, as `parse_postgres_url` returns it.

    One for all where asyncpg has to compare the hosts, or has to match a list of ports with them.
    """
    if "," in os.environ.get("PGPORT", ""):
        return (dsn,)
    parts = urlsplit(dsn)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options.get("target_session_attrs") == "prefer-standby" or "port" in options:
        return (dsn,)
    login, at, hosts = parts.netloc.rpartition("@")
    if hosts:
        return tuple(parts._replace(netloc=f"{login}{at}{host}").geturl() for host in hosts.split(","))
    named = options.get("host", "").split(",")
    return tuple(parts._replace(query=urlencode(options | {"host": host})).geturl() for host in named if host) or (
        dsn,
    )
