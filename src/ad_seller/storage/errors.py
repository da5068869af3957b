"""Every error that this package raises, in one tree.

::

    StorageError
    ├── InvalidArgumentError (ValueError, TypeError)   the caller passed something wrong; no I/O was done
    │   ├── InvalidKeyError
    │   ├── InvalidValueError
    │   ├── InvalidTTLError
    │   ├── InvalidPatternError
    │   ├── InvalidCursorError
    │   ├── ConfigurationError                         a URL, type or setting that cannot work
    │   └── MissingDependencyError (ImportError)       an optional package is not installed
    ├── NotConnectedError (RuntimeError)               used before connect or after disconnect
    ├── MissingKeyError (LookupError)                  the operation needs an entry that is not there
    ├── CorruptValueError                              a stored value is not JSON
    ├── DamagedExportError                             an export is cut off, was changed, or is none
    ├── CheckpointError                                the file of a copy is of another one, missing, or in the way
    ├── NotEmptyError                                  there are entries already, and nobody said what wins
    ├── UnsupportedError (NotImplementedError)         this backend declares that it cannot do this
    ├── StorageConnectionError (ConnectionError)       the engine cannot be reached or opened
    ├── MissingStoreError (LookupError)                there is no store, and none is to be made
    ├── StorageTimeoutError (TimeoutError)             no answer in time, and nothing was written
    ├── UnknownOutcomeError (ConnectionError)          a write was sent, its answer never came
    ├── StoreUnavailableError                          the engine refused: read-only, full, corrupt, out of memory
    ├── ConflictError                                  what was read has changed in the meantime: run it again
    ├── IdempotencyConflictError                       the same idempotency key came with another request
    ├── IdempotencyExpiredError                        the key was used, and its answer is remembered no longer
    ├── InFlightError                                  what is asked for is being worked on: come back later
    ├── EffectUnknownError                             whether another system did what it was asked is not known
    ├── LeaseHeldError                                 another holder has the lease
    ├── TransactionError (RuntimeError)                a transaction was used wrongly
    ├── WrongThreadError (RuntimeError)                a call without await that would wait for itself
    ├── CrossStoreError                                a commit over keys that live in different places
    ├── LeaseLostError                                 a lease is no longer held
    ├── LogGapError                                    who follows a log comes after entries were removed
    └── InvalidTransitionError                         a state machine does not allow this step

A lower-level exception is always kept as ``__cause__``. No message contains a password.
"""

from __future__ import annotations

import re
from typing import Any

# Texts, compiled when the first is needed: that takes longer than all else in this module.
#: What may stand in a password as it is, blanks included: not another URL, nor the quote that ends this one.
_QUOTE_ENDS = r"['\"](?:[\s:,;.)]|$)"
_UNTIL_END = rf"(?:(?!://|{_QUOTE_ENDS})[^\n])*"
_CREDENTIALS = (
    rf"(?<=://)(?:(?!{_QUOTE_ENDS})\S)*{_UNTIL_END}@"  # up to the last @: passwords with / # ? in them are common
)
_BARE_CREDENTIALS = r"(^|[\s'\"(])[^\s'\"@/:]*:(?!//)[^\s'\"]*@"  # user:password@host without a scheme
_NAMES = r"(?i)((?:password|passwd|pwd|secret|token)"
_QUOTED_SECRETS = _NAMES + r"\s*=\s*)(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_DONE = r"(?!\*\*\*(?:[\s'\"&#,;:.)]|$))"  # what was redacted before hides nothing of what comes after it
_SECRET_PARAMETERS = _NAMES + rf"(?:\s+=\s*|=(?=\S))){_DONE}" + r"(?:(?!['\"](?:[\s:,;.)]|$)|\s+\w+\s*=)[^&#\n])*"


def redact(text: str) -> str:
    """Return ``text`` with the user name and password of every URL in it replaced by ``***``."""
    if "@" in text:  # none of the patterns fits without its sign, and each takes long to find that out
        text = re.sub(_BARE_CREDENTIALS, r"\1***@", re.sub(_CREDENTIALS, "***@", text))
    if "=" in text:
        text = re.sub(_SECRET_PARAMETERS, r"\1***", re.sub(_QUOTED_SECRETS, r"\1***", text))
    return text


def shown(value: object, limit: int = 80) -> str:
    """Return a short repr of anything, also of objects whose own repr raises."""
    try:
        text = repr(value)
    except Exception:  # whatever a hostile object raises
        return f"<{type(value).__name__} without a repr>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def shown_url(url: object) -> str:
    """Return a short repr of what was given as a URL, without credentials, however long it is."""
    return shown(redact(url)) if isinstance(url, str) else redact(shown(url))


class StorageError(Exception):
    """Base of all errors of this package.

    Attributes:
        key: the key that the failed operation named, or None.
    """

    key: str | None

    def __init__(self, message: str, *, key: str | None = None) -> None:
        """Keep the message and the key that it is about."""
        super().__init__(message)
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        """Let errors be copied, and sent to another process, whatever arguments their class takes."""
        return _rebuilt, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        """Return the plain message, whichever builtin error the class also is."""
        return str(self.args[0])


def _rebuilt(cls: type[StorageError], args: tuple[Any, ...], attributes: dict[str, Any]) -> StorageError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class InvalidArgumentError(StorageError, ValueError, TypeError):
    """An argument that no backend accepts; raised before any I/O."""


class InvalidKeyError(InvalidArgumentError):
    """A key that is empty, too long, no str, or holds NUL or a lone surrogate."""


class InvalidValueError(InvalidArgumentError):
    """A value that JSON cannot carry exactly.

    Attributes:
        path: where in the value the offending part stands, e.g. ``$.items[3].price``.
    """

    path: str

    def __init__(self, message: str, *, key: str | None = None, path: str = "$") -> None:
        """Keep the message, the key and the path inside the value."""
        super().__init__(message, key=key)
        self.path = path


class InvalidTTLError(InvalidArgumentError):
    """A time to live that is not a positive, finite, representable number of seconds."""


class InvalidPatternError(InvalidArgumentError):
    """A pattern that is no str or that no key can be compared with."""


class InvalidCursorError(InvalidArgumentError):
    """A scan cursor that no scan handed out."""


class ConfigurationError(InvalidArgumentError):
    """A storage type, URL or setting that cannot work."""


class MissingDependencyError(InvalidArgumentError, ImportError):
    """An optional package is not installed; the message holds the pip command."""


class NotConnectedError(StorageError, RuntimeError):
    """The backend is not connected, or not in this event loop or process."""


class MissingKeyError(StorageError, LookupError):
    """The operation needs an entry, and there is none under this key."""


class CorruptValueError(StorageError):
    """The text stored under a key is not a JSON value."""


class DamagedExportError(StorageError):
    """An export is cut off, was changed since it was written, is of a newer format, or is none."""


class CheckpointError(StorageError):
    """The file that says how far a copy has come is of another one, is missing, or is in the way."""


class NotEmptyError(StorageError):
    """There are entries already where others are to be written, and it was not said which of them win."""


class UnsupportedError(StorageError, NotImplementedError):
    """The backend declares, in its capabilities, that it cannot do this."""


class StorageConnectionError(StorageError, ConnectionError):
    """The engine cannot be reached, opened or logged in to."""


class StorageTimeoutError(StorageError, TimeoutError):
    """There was no answer in time; a write that raises this was not applied."""


class UnknownOutcomeError(StorageError, ConnectionError):
    """A write was sent and its answer was lost: it may or may not have been applied."""


class StoreUnavailableError(StorageError):
    """The engine is there but refuses: read-only, disk full, out of memory, corrupt."""


class MissingStoreError(StorageError, LookupError):
    """There is no store where one was looked for, and none is to be made; nothing was written."""


class ConflictError(StorageError):
    """Something that was read has changed before the commit; nothing was written."""


class IdempotencyConflictError(StorageError):
    """An idempotency key came again, with a different request."""


class IdempotencyExpiredError(StorageError):
    """An idempotency key came again after its answer was forgotten; nothing was run."""


class InFlightError(StorageError):
    """The request, or the effect, is being worked on by somebody else.

    Attributes:
        retry_after: seconds after which asking again makes sense.
    """

    retry_after: float

    def __init__(self, message: str, *, key: str | None = None, retry_after: float = 1.0) -> None:
        """Keep the message, the key and when to come back."""
        super().__init__(message, key=key)
        self.retry_after = retry_after


class EffectUnknownError(StorageError):
    """Whether another system did what it was asked is not known; nobody asks it again until that is decided.

    Attributes:
        effect_id: the id that the other system was given.
    """

    effect_id: str

    def __init__(self, message: str, *, key: str | None = None, effect_id: str) -> None:
        """Keep the message, the key and the id."""
        super().__init__(message, key=key)
        self.effect_id = effect_id


class LeaseHeldError(StorageError):
    """Another holder has the lease."""


class TransactionError(StorageError, RuntimeError):
    """A transaction was used after its end, from another task, or inside another one."""


class WrongThreadError(StorageError, RuntimeError):
    """A call of `ad_seller.storage.sync` was made in the thread that would have to answer it."""


class CrossStoreError(StorageError):
    """A commit names keys that no single store, or slot of a cluster, holds; nothing was written."""


class LeaseLostError(StorageError):
    """The lease expired or was taken over; what it protected must stop."""


class LogGapError(StorageError):
    """Entries that a follower of a log has not had may have been removed.

    Attributes:
        cursor: following goes on with what is left from here.
    """

    def __init__(self, message: str, *, cursor: str, key: str | None = None) -> None:
        """Keep the message and where to go on."""
        super().__init__(message, key=key)
        self.cursor = cursor


class InvalidTransitionError(StorageError):
    """The state machine does not allow this step.

    Attributes:
        current: the status the record has.
        allowed: the statuses that can follow it.
    """

    current: str
    allowed: tuple[str, ...]

    def __init__(self, message: str, *, key: str | None, current: str, allowed: tuple[str, ...]) -> None:
        """Keep the message, the key, the present status and the allowed next ones."""
        super().__init__(message, key=key)
        self.current = current
        self.allowed = allowed
