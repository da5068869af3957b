"""What redis-py and the server say, as errors of ours."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from ..errors import (
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    redact,
)
from ..passwords import PasswordFunctionError
from .commands import error_code
from .sentinel import UnknownServiceError

_PLAIN = "Is the server running, and the address right? With TLS it begins with rediss://."
_TLS = (
    "Is the server running, and the address right, and does it speak TLS? ssl_ca_certs=… names whom to trust; "
    "ssl_certfile=… and ssl_keyfile=… are for a server that wants a certificate of the client. A server that has "
    "as many clients as it takes (maxclients) closes the connection without a word."
)

#: How Redis says that a user lacks a right: to a script before version 7.0, to a script since, and elsewhere.
_NO_RIGHT = ("The user executing the script can't", "ACL failure in script", "NOPERM", "no permissions")

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def explain(
    cause: BaseException, what: str, key: str | None, *, address: str, grant: str, timeout: float
) -> StorageError:
    """Return our error.

    Args:
        cause: what redis-py or the server said.
        what: the start of the message: what could not be done.
        key: the key that it was about.
        address: the URL without its password.
        grant: the ACL command that gives the user every right that is needed.
        timeout: seconds that were waited.
    """
    reason = redact(str(cause))
    if isinstance(cause, ResponseError):
        cause = _recognised(cause, reason)
    if isinstance(cause, ResponseError) and error_code(cause) in ("MOVED", "ASK", "CLUSTERDOWN"):
        return StoreUnavailableError(
            f"{what}: {address} is a node of a cluster that cannot serve this now ({reason}). Name a cluster with "
            "redis+cluster://, and look at CLUSTER INFO.",
            key=key,
        )
    match cause:
        case AuthenticationError() | AuthorizationError():
            return StorageConnectionError(
                f"{what}: {address} refused the login ({reason}); check user and password.", key=key
            )
        case OutOfMemoryError():
            return StoreUnavailableError(
                f"{what}: Redis is out of memory and wrote nothing. Raise maxmemory or remove entries.",
                key=key,
            )
        case _CannotSaveError():
            return StoreUnavailableError(
                f"{what}: Redis cannot save ({reason}) and wrote nothing. Is its disk full? Its log says more.",
                key=key,
            )
        case ReadOnlyError():
            return StoreUnavailableError(f"{what}: {address} is a read-only replica; name its master.", key=key)
        case _NotAllowedError():
            return StoreUnavailableError(
                f"{what}: the user may not do this ({reason}). ACL LOG on the server names the command or the key; "
                f"`{grant}` grants all that is needed.",
                key=key,
            )
        case ResponseError():
            return StoreUnavailableError(f"{what}: Redis refused: {reason}", key=key)
        case UnknownServiceError():
            return StorageConnectionError(
                f"{what}: {reason}; check the service name in {address} (SENTINEL MASTERS lists them).", key=key
            )
        case PasswordFunctionError():
            kind = StorageTimeoutError if isinstance(cause.__cause__, TimeoutError) else StorageConnectionError
            advice = f"It must return the password as a str, in well under {timeout:g} s."
            return kind(f"{what}: {reason}. {advice}", key=key)
        case TimeoutError():
            return _timed_out(what, key, address, timeout)
    return _unreachable(reason, what, key, address, timeout)


def _unreachable(reason: str, what: str, key: str | None, address: str, timeout: float) -> StorageError:
    if "imeout" in reason:  # redis-py's TimeoutError is not Python's
        return _timed_out(what, key, address, timeout)
    if "max number of clients" in reason:
        return StorageConnectionError(
            f"{what}: {address} takes no more connections ({reason}). Raise its maxclients, or let the instances "
            "use fewer (max_connections).",
            key=key,
        )
    return StorageConnectionError(
        f"{what}: {address} cannot be reached ({reason}). {_advice(reason, address)}",
        key=key,
    )


def _advice(reason: str, address: str) -> str:
    if "No such file" in reason:
        for name, value in parse_qsl(urlsplit(address).query):
            if name in _FILES and not Path(value).exists():
                return f"There is no file {value!r}, which {name} names."
    return _TLS if address.startswith("rediss") else _PLAIN


def is_out_of_memory(answer: object) -> bool:
    """Tell whether the server refused because its memory is full."""
    return isinstance(answer, ResponseError) and (
        isinstance(answer, OutOfMemoryError) or "OOM command not allowed" in str(answer)
    )


def is_forbidden(error: ResponseError) -> bool:
    """Tell whether the server will refuse the same at any later moment, too."""
    return any(words in str(error) for words in ("NOPERM", "permission", "unknown command", "unknown subcommand"))


class _NotAllowedError(ResponseError):
    """The user lacks a right: to the command, or to the key."""


class _CannotSaveError(ResponseError):
    """Redis refuses to write because it could not save what was written before."""


def _recognised(error: ResponseError, reason: str) -> ResponseError:
    """Return the error as its kind; those from inside a script have no code of their own before Redis 7.0."""
    if is_out_of_memory(error):
        return OutOfMemoryError(reason)
    if "MISCONF" in reason:
        return _CannotSaveError(reason)
    if any(words in reason for words in _NO_RIGHT) or isinstance(error, NoPermissionError):
        return _NotAllowedError(reason)
    return ReadOnlyError(reason) if error_code(error) == "READONLY" else error


def _timed_out(what: str, key: str | None, address: str, timeout: float) -> StorageTimeoutError:
    doubt = "Is it frozen, or does it not speak TLS?" if address.startswith("rediss") else "Is it frozen?"
    return StorageTimeoutError(f"{what}: {address} did not answer within {timeout:g} s. {doubt}", key=key)
