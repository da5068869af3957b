"""Every option that a backend takes, in one table: its argument, its setting, and its name in a URL.

`docs/configuration.md` shows this table, and a test compares it with the signatures of the backends.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, ParamSpec
from urllib.parse import unquote_plus

from .errors import ConfigurationError, shown

P = ParamSpec("P")
Reader = Callable[[str, str], Any]

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def whole(name: str, text: str) -> int:
    """Return a whole number of 0 or more."""
    if not text.isdecimal():
        raise ConfigurationError(f"{name} is a whole number, not {shown(text)}")
    return int(text)


def seconds(name: str, text: str) -> float:
    """Return seconds, as an int where they are whole."""
    try:
        number = float(text)
    except ValueError:
        raise ConfigurationError(f"{name} is a number of seconds, not {shown(text)}") from None
    return int(number) if number.is_integer() else number


def seconds_or_off(name: str, text: str) -> float | None:
    """Return seconds; None for "off"."""
    return None if text.lower() in ("off", "none") else seconds(name, text)


def flag(name: str, text: str) -> bool:
    """Return whether something is on."""
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ConfigurationError(f"{name} is on or off, not {shown(text)}")
    return text.lower() in _TRUE


def is_cached(name: str, text: str) -> bool:
    """Return whether statements are prepared: on, off, or how many (as other drivers count)."""
    return int(text) > 0 if text.isdecimal() else flag(name, text)


def has_no_pooler(name: str, text: str) -> bool:
    """Return False behind PgBouncer, as Prisma's ``pgbouncer=true`` says."""
    return not flag(name, text)


def literal(name: str, text: str) -> str:
    """Return the text."""
    return text


def upper(name: str, text: str) -> str:
    """Return the text in capitals."""
    return text.upper()


def several(name: str, text: str) -> tuple[str, ...]:
    """Return the names between commas; ``none`` for none of them."""
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    return () if names == ("none",) else names


class Option(NamedTuple):
    """One option.

    Attributes:
        argument: its name as an argument of the backend.
        setting: its name in the environment and in ``.env``.
        backends: the storage types that have it.
        default: for readers.
        meaning: for readers.
        read: makes the value of a text; the first argument is the name for errors.
        in_url: whether a URL can carry it, under the argument's name.
        aliases: other names in URLs, which other drivers use, and how they are read.
    """

    argument: str
    setting: str
    backends: tuple[str, ...]
    default: str
    meaning: str
    read: Reader
    in_url: bool = True
    aliases: tuple[tuple[str, Reader], ...] = ()

    @property
    def parameters(self) -> dict[str, Reader]:
        """The names in a URL, and how each is read."""
        own = {self.argument: self.read} if self.in_url else {}
        return own | dict(self.aliases)


ALL: Final = ("sqlite", "redis", "postgres", "memory")

#: The options, in the order in which the docs show them.
OPTIONS: Final = (
    Option("timeout", "STORAGE_TIMEOUT", ALL, "5 s; SQLite 10 s", "how long a call waits", seconds),
    Option(
        "connect_wait",
        "STORAGE_CONNECT_WAIT",
        ALL,
        "0 s",
        "how long `connect` waits for a server that is not there yet",
        seconds,
    ),
    Option("max_value_bytes", "STORAGE_MAX_VALUE_BYTES", ALL, "64 MiB", "the largest value, as JSON text", whole),
    Option(
        "sweep_interval",
        "STORAGE_SWEEP_INTERVAL",
        ALL,
        "30 s",
        "how often expired entries are looked for; `off` for never",
        seconds_or_off,
    ),
    Option(
        "create",
        "STORAGE_CREATE",
        ("sqlite", "postgres"),
        "on",
        "whether `connect` sets a store up where there is none; `off`: that is a `MissingStoreError`",
        flag,
    ),
    Option(
        "indexes",
        "STORAGE_INDEXES",
        ALL,
        "`default`",
        "fields that have an index, such as `event.session_id+key,order.status`; `none` for none",
        several,
    ),
    Option(
        "log_commit_seconds",
        "STORAGE_LOG_COMMIT_SECONDS",
        ALL,
        "`timeout`",
        "how long an append to a log may take at most; those who follow look back by as much",
        seconds,
    ),
    Option(
        "log_clock_seconds",
        "STORAGE_LOG_CLOCK_SECONDS",
        ALL,
        "2 s",
        "how much the clocks of the machines may differ that append to a log; likewise",
        seconds,
    ),
    Option(
        "synchronous",
        "SQLITE_SYNCHRONOUS",
        ("sqlite",),
        "`FULL`",
        "`FULL`: an acknowledged write survives a power failure; `NORMAL`: only the end of the process",
        upper,
    ),
    Option(
        "key_prefix",
        "REDIS_KEY_PREFIX",
        ("redis",),
        "`ad_seller:`",
        "what stands before each key; in braces, e.g. `{tenant}:`, it keeps a tenant in one slot of a cluster",
        literal,
    ),
    Option(
        "wait_replicas",
        "REDIS_WAIT_REPLICAS",
        ("redis",),
        "0",
        "replicas that must have confirmed a write before it is acknowledged",
        whole,
    ),
    Option(
        "max_connections",
        "REDIS_MAX_CONNECTIONS",
        ("redis",),
        "8",
        "connections to each server at most, for each event loop; the one in a URL is another client's",
        whole,
        in_url=False,
    ),
    Option(
        "trust_master",
        "REDIS_TRUST_MASTER",
        ("redis",),
        "1 s",
        "Sentinel: how long a master is believed after the sentinels have named it; 0: they confirm each answer",
        seconds,
    ),
    Option("pool_min", "POSTGRES_POOL_MIN", ("postgres",), "2", "connections that are kept open", whole),
    Option("pool_max", "POSTGRES_POOL_MAX", ("postgres",), "10", "connections at most", whole),
    Option(
        "statement_cache",
        "POSTGRES_STATEMENT_CACHE",
        ("postgres",),
        "off behind a pooler, else on",
        "whether statements are prepared; behind PgBouncer in session mode `on` is faster",
        is_cached,
        aliases=(
            ("statement_cache_size", is_cached),
            ("prepared_statement_cache_size", is_cached),
            ("pgbouncer", has_no_pooler),
        ),
    ),
)


def options_of(backend: str) -> tuple[Option, ...]:
    """Return the options of a storage type."""
    return tuple(option for option in OPTIONS if backend in option.backends)


def split_url(backend: str, url: str) -> tuple[str, dict[str, Any]]:
    """Return the URL without our options, and their values by argument.

    Args:
        backend: the storage type.
        url: the URL, with any options of its driver.

    Raises:
        ConfigurationError: an option has a value that cannot be read.
    """
    base, mark, query = url.partition("?")
    if not mark or "://" not in base:
        return url, {}
    readers = {name: (one.argument, read) for one in options_of(backend) for name, read in one.parameters.items()}
    kept: list[str] = []
    found: dict[str, Any] = {}
    for piece in query.split("&"):
        name, equals, text = piece.partition("=")
        if equals and name in readers:
            argument, read = readers[name]
            found[argument] = read(f"{name} in the URL", unquote_plus(text).strip())
        else:
            kept.append(piece)
    return (base + mark + "&".join(kept)) if any(kept) else base, found


def split_namespace(url: str) -> tuple[str, str | None]:
    """Return a URL without ``namespace=``, and the name that it gives; None if it gives none."""
    base, mark, query = url.partition("?")
    if not mark or "://" not in base:
        return url, None
    pieces = [piece.partition("=") for piece in query.split("&")]
    names = [unquote_plus(text) for name, equals, text in pieces if name == "namespace" and equals]
    if not names:
        return url, None
    kept = "&".join("".join(piece) for piece in pieces if piece[0] != "namespace")
    return (base + mark + kept if kept else base), names[-1]


def from_settings(backend: str, settings: Mapping[str, str], url: str) -> dict[str, Any]:
    """Return the arguments that the settings give, without those that the URL gives itself.

    Raises:
        ConfigurationError: a setting has a value that cannot be read; names the setting.
    """
    in_url = split_url(backend, url)[1]
    return {
        option.argument: option.read(option.setting, settings[option.setting])
        for option in options_of(backend)
        if option.setting in settings and option.argument not in in_url
    }


def takes_url_options(backend: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Let an ``__init__`` whose first argument is a URL read our options from it; arguments that are given win."""

    def decorate(init: Callable[P, None]) -> Callable[P, None]:
        signature = inspect.signature(init)
        _, url_name, *_ = signature.parameters

        @functools.wraps(init)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
            url = args[1] if len(args) > 1 else kwargs.get(url_name)
            rest, found = split_url(backend, url.strip()) if isinstance(url, str) else (url, {})
            if not found:
                return init(*args, **kwargs)
            given = dict(signature.bind_partial(*args, **kwargs).arguments)
            given |= given.pop("settings", {})
            options = found | given | {url_name: rest}
            return init(**options)  # type: ignore[call-arg]

        return wrapped

    return decorate
