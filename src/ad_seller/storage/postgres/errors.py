"""What an error of PostgreSQL or asyncpg means for the caller, and what to do about it."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from ..errors import (
    ConfigurationError,
    InvalidValueError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    redact,
)
from ..passwords import PasswordFunctionError
from .waiting import NoneFreeError

_POOLER = (
    "Is there a pooler in between that gives each transaction another session (PgBouncer in transaction mode)? "
    "Then write ?statement_cache=off into the URL, set POSTGRES_STATEMENT_CACHE=off, or pass statement_cache=False."
)

_STARTUP = (
    "A pooler takes no such option from the URL: remove it there, and set it for the user (ALTER ROLE … SET …), or "
    "list it in the pooler's ignore_startup_parameters."
)
_LOGIN = (
    "Check user and password, and that pg_hba.conf on the server lets this user in. If it wants TLS: "
    "sslmode=require in the URL; if a certificate of the client: sslcert=… and sslkey=…."
)
_NO_TLS = "The server offers no TLS: turn ssl on there, or write sslmode=prefer, which goes without where it must."
_CERTIFICATE = (
    "The certificate must name the host of the URL (sslmode=verify-ca does without that), and be signed by an "
    "authority in the file of sslrootcert=…."
)

_TOO_MANY = (
    "The server has no room for another session. Lower pool_min and pool_max (each event loop of each process has "
    "as many), end other sessions (pg_stat_activity), or raise max_connections there, or the CONNECTION LIMIT of "
    "this user or database."
)

#: Options that name files, and the variables that do where the URL does not.
_FILES = {
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
}

#: What OpenSSL says of a file that is no PEM.
_NO_PEM = ("PEM lib", "NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE")

#: The class of asyncpg's error, ours, and what to do. The first that fits counts.
_MEANING: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], type[StorageError], str], ...] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        StorageConnectionError,
        _LOGIN,
    ),
    (asyncpg.InvalidCatalogNameError, StorageConnectionError, "Create it (CREATE DATABASE), or correct the URL."),
    (asyncpg.TooManyConnectionsError, StorageConnectionError, _TOO_MANY),
    (asyncpg.CannotConnectNowError, StorageConnectionError, "Try again in a moment."),
    (asyncpg.ProtocolViolationError, StorageConnectionError, _POOLER),
    (
        (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError),
        StoreUnavailableError,
        _POOLER,
    ),
    (
        asyncpg.ReadOnlySQLTransactionError,
        StoreUnavailableError,
        "It is a standby or set to read-only, and nothing was written. Name the primary, or several hosts.",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        StoreUnavailableError,
        "For the first connect the user needs GRANT USAGE, CREATE ON SCHEMA, then all rights on the tables.",
    ),
    (
        (  # the last one: ON CONFLICT without a unique index
            asyncpg.UndefinedTableError,
            asyncpg.UndefinedFunctionError,
            asyncpg.UndefinedColumnError,
            asyncpg.InvalidColumnReferenceError,
        ),
        StoreUnavailableError,
        "Our tables were removed or changed; disconnect and connect, which sets up what is missing.",
    ),
    (
        asyncpg.UniqueViolationError,
        StoreUnavailableError,
        "Some keys have several rows, as after two restores: restore the whole dump into an empty database.",
    ),
    (asyncpg.InsufficientResourcesError, StoreUnavailableError, "Nothing was written; free some space there."),
    (asyncpg.QueryCanceledError, StorageTimeoutError, "Nothing was written. Is it overloaded?"),
    (
        (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError),
        StorageTimeoutError,
        "Other sessions hold what it needs; nothing was written. Try again.",
    ),
    (asyncpg.ProgramLimitExceededError, InvalidValueError, "It is larger than PostgreSQL takes."),
    (PasswordFunctionError, StorageConnectionError, "It must return the password as a str, within the time-out."),
    (asyncpg.UndefinedObjectError, ConfigurationError, "Remove that option from the URL."),
    (asyncpg.TargetServerAttributeNotMatched, StorageConnectionError, "Name a host that can be written to."),
    (asyncpg.ClientConfigurationError, StorageConnectionError, "Correct the URL or the PG* variables."),
    (ssl.SSLCertVerificationError, StorageConnectionError, _CERTIFICATE),
    (
        ssl.SSLError,
        StorageConnectionError,
        "Does the server want a certificate of the client (sslcert=…, sslkey=…)?",
    ),
    (FileNotFoundError, StorageConnectionError, "The server's socket is not there: is the server running?"),
    (socket.gaierror, StorageConnectionError, "There is no such host; correct the URL."),
)


def explain(what: str, key: str | None, error: BaseException, *, address: str, timeout: float) -> StorageError:
    """Return our error.

    Args:
        what: starts the message.
        key: the key that it is about.
        error: what asyncpg raised.
        address: the server's URL, without the password.
        timeout: seconds that were waited.
    """
    reason = redact(str(error)).partition("\n")[0] or type(error).__name__  # asyncpg's own advice follows
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in reason:
        return ConfigurationError(f"{what}: {address}: {reason}. {_STARTUP}", key=key)
    if isinstance(error, ConnectionError) and "rejected SSL" in reason:
        return StorageConnectionError(f"{what}: {address}: {reason}. {_NO_TLS}", key=key)
    if isinstance(error, OSError) and (file := _wrong_file(address, error)) is not None:
        return StorageConnectionError(f"{what}: {address}: {file}", key=key)
    for kind, ours, advice in _MEANING:
        if isinstance(error, kind):
            return ours(f"{what}: {address}: {reason}. {advice}", key=key)
    if isinstance(error, NoneFreeError):
        why = f", and no other could be made: {redact(error.refusal)}" if error.refusal else ""
        cure = _TOO_MANY if error.refusal else "Raise pool_max, or look for what keeps the server busy."
        return StorageTimeoutError(
            f"{what}: no connection to {address} was free within {timeout:g} s{why}. {cure}", key=key
        )
    if isinstance(error, TimeoutError):
        return StorageTimeoutError(f"{what}: {address} did not answer within {timeout:g} s. Is it frozen?", key=key)
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError):
        return StoreUnavailableError(f"{what}: {address} refused: {reason}", key=key)
    return StorageConnectionError(
        f"{what}: {address} cannot be reached ({reason}). Is the server running, and the address right?", key=key
    )


def _wrong_file(address: str, error: OSError) -> str | None:
    """Return which file of a certificate or key cannot be used, which neither Python nor OpenSSL says, or None."""
    options = dict(parse_qsl(urlsplit(address).query))
    files = {name: options.get(name) or os.environ.get(variable) for name, variable in _FILES.items()}
    given = {name: path for name, path in files.items() if path}
    for name, path in given.items():
        try:
            Path(path).open("rb").close()
        except OSError as problem:
            return f"{name}={path!r} cannot be read: {problem.strerror}. Correct the path, or make it readable."
    if given and isinstance(error, ssl.SSLError) and any(mark in str(error) for mark in _NO_PEM):
        named = ", ".join(f"{name}={path!r}" for name, path in given.items())
        return f"{error.reason or error}: one of {named} holds no certificate or key as PEM."
    return None
