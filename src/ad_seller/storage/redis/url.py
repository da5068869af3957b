"""The forms in which one Redis server, a Sentinel group or a cluster can be named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from ..errors import ConfigurationError, redact, shown_url

Kind = Literal["server", "sentinel", "cluster"]

_KINDS: dict[str, Kind] = {"": "server", "sentinel": "sentinel", "cluster": "cluster"}
_CLIENT_OPTIONS = frozenset({"decode_responses", "encoding", "encoding_errors", "protocol", "max_connections"})
_SENTINEL_OPTIONS = ("sentinel_password", "sentinel_username")
_DATA_OPTIONS = ("db", "username", "password")  #: what holds for the servers with entries only
_NODE = re.compile(r"(?:\[(?P<ip>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"cluster": 6379, "sentinel": 26379}


@dataclass(frozen=True, slots=True, repr=False)
class RedisURL:
    """What a URL says.

    Attributes:
        kind: one server, a Sentinel group, or a cluster.
        text: the URL of the server, without options that are not the server's.
        nodes: host and port of the sentinels, or of some nodes of the cluster; empty for one server.
        service: the name of the master among the sentinels.
        sentinel_password: for the sentinels themselves, or None.
        sentinel_username: likewise, where they have users.
    """

    kind: Kind
    text: str
    nodes: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_password: str | None = None
    sentinel_username: str | None = None
    _scheme: str = "redis"
    _login: str = ""
    _path: str = ""
    _query: str = ""

    @property
    def sample(self) -> str:
        """The URL of one server, whichever."""
        return self.text if self.kind == "server" else self.server(*self.nodes[0])

    @property
    def user(self) -> str:
        """As whom the servers with entries are asked."""
        parts = urlsplit(self.sample)
        return dict(parse_qsl(parts.query)).get("username") or unquote(parts.username or "") or "default"

    def server(self, host: str, port: int) -> str:
        """Return the URL of one data node, with the login and the options that were given."""
        return f"{self._scheme}://{self._login}{_bracketed(host)}:{port}{self._path}{self._query}"

    def sentinel(self, host: str, port: int) -> str:
        """Return the URL of one sentinel."""
        options = [one for one in parse_qsl(self._query[1:]) if one[0] not in _DATA_OPTIONS]
        login = (("username", self.sentinel_username), ("password", self.sentinel_password))
        query = urlencode([*options, *(one for one in login if one[1])])
        return f"{self._scheme}://{_bracketed(host)}:{port}{'?' if query else ''}{query}"


def parse_redis_url(url: object) -> RedisURL:
    """Read a Redis URL.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://`` as redis-py takes them;
            ``redis+sentinel://host1:26379,host2:26379/service/db``; ``redis+cluster://host1:6379,host2:6379``;
            ``rediss+…`` for TLS. Login and options stand where they do in a plain URL;
            ``sentinel_password`` and ``sentinel_username`` are options. TLS and its options hold for all servers.

    Raises:
        ConfigurationError: it is something else.
    """
    if not isinstance(url, str) or not url.strip():
        raise ConfigurationError(
            "Redis URL required: pass redis_url or set REDIS_URL, e.g. redis://localhost:6379/0"
        )
    url = url.strip()
    before, mark, rest = url.partition("://")
    hosts = re.split("[/?#]", rest, maxsplit=1)[0]
    try:
        # Several hosts are no URL for every version of Python, if one of them is in brackets.
        parts = urlsplit(f"{before}{mark}group{rest[len(hosts) :]}" if "+" in before and hosts else url)
    except ValueError as error:
        raise ConfigurationError(f"Not a Redis URL: {shown_url(url)} ({error})") from None
    scheme, _, suffix = parts.scheme.partition("+")
    if scheme not in ("redis", "rediss", "unix") or suffix not in _KINDS or (suffix and scheme == "unix"):
        raise ConfigurationError(
            "A Redis URL starts with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, "
            f"not {shown_url(url)}"
        )
    if parts.fragment:
        raise ConfigurationError(f"{redact(url)!r} contains a '#'; in a password it is written %23")
    kind = _KINDS[suffix]
    # What a URL says of a client's decoding and pool is meant for the client that it was written for.
    options = [
        (name, _spelled(name, value)) for name, value in parse_qsl(parts.query) if name not in _CLIENT_OPTIONS
    ]
    parts = parts._replace(query=urlencode(options))
    if kind == "server":
        _check_server(scheme, parts)
        return RedisURL(kind, urlunsplit(parts))
    return _parse_group(kind, url, scheme, parts._replace(netloc=hosts))


def _spelled(name: str, value: str) -> str:
    """Return the value as redis-py spells it: Celery and Heroku write ``CERT_NONE`` or ``None``, as Python does."""
    return value.lower().removeprefix("cert_") if name == "ssl_cert_reqs" else value


def _check_server(scheme: str, parts: SplitResult) -> None:
    """Check what redis-py would ignore, or report with a part of the password in it."""
    try:
        _ = parts.port
    except ValueError:
        raise ConfigurationError(
            f"The port in {redact(parts.geturl())!r} is no number from 0 to 65535; if the password contains "
            "special characters, percent-encode them (/ is %2F, ? is %3F)"
        ) from None
    database = parts.path.strip("/")
    if scheme != "unix" and database and not database.isdecimal():
        raise ConfigurationError(f"{redact(parts.geturl())!r}: the database is a number, not {database!r}")


def _parse_group(kind: Kind, url: str, scheme: str, parts: SplitResult) -> RedisURL:
    login, at, hosts = parts.netloc.rpartition("@")
    nodes = tuple(_parse_node(node, _DEFAULT_PORTS[kind], url) for node in hosts.split(",") if node)
    if not nodes:
        raise ConfigurationError(f"{redact(url)!r} names no host")
    options = parse_qsl(parts.query)
    of_sentinels = {name: value for name, value in options if name in _SENTINEL_OPTIONS}
    query = urlencode([(name, value) for name, value in options if name not in _SENTINEL_OPTIONS])
    service, _, database = parts.path.strip("/").partition("/")
    if kind == "sentinel" and not service:
        raise ConfigurationError(f"{redact(url)!r} names no service: redis+sentinel://host:26379/mymaster/0")
    if kind == "cluster" and service not in ("", "0"):
        raise ConfigurationError(f"{redact(url)!r}: a cluster has only database 0")
    if kind == "sentinel" and database and not database.isdecimal():
        raise ConfigurationError(f"{redact(url)!r}: the database is a number, not {database!r}")
    if kind == "cluster" and dict(options).get("db", "0") != "0":
        raise ConfigurationError(f"{redact(url)!r}: a cluster has only database 0")
    return RedisURL(
        kind,
        url,
        nodes,
        unquote(service) if kind == "sentinel" else "",
        of_sentinels.get("sentinel_password"),
        of_sentinels.get("sentinel_username"),
        scheme,
        f"{login}{at}",
        f"/{database or 0}" if kind == "sentinel" else "/0",
        f"?{query}" if query else "",
    )


def _parse_node(node: str, default: int, url: str) -> tuple[str, int]:
    match = _NODE.fullmatch(node)
    port = int(match["port"] or default) if match else 0
    if match is None or not 0 < port < 65536:
        # Without the text: it may be a part of the password.
        raise ConfigurationError(
            f"{redact(url)!r}: after the login stands host:port, several with commas between them. Special "
            "characters in a password are percent-encoded (/ is %2F, ? is %3F, @ is %40)"
        )
    return match["ip"] or match["host"], port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
