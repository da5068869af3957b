"""How a call of an engine can fail, as far as the store is concerned: what is known of its effect.

An engine raises these with the exception of its library as the cause, and that exception itself where the server
refused a call and nothing was applied. `runtime` alone makes errors of ours from them.
"""

from __future__ import annotations


class EngineError(Exception):
    """A call of an engine has no answer."""


class NotStartedError(EngineError):
    """Nothing happened, and the same call may be tried again: another process holds the file's lock, say."""


class NotSentError(EngineError):
    """Nothing happened, and trying again is of no use now, e.g. because the server cannot be reached."""


class LostError(EngineError):
    """It was sent, and no answer came: a write may have been applied, or may still be."""


def reason_of(error: BaseException) -> BaseException:
    """Return what an engine's failure was caused by, or the error itself."""
    return error.__cause__ or error if isinstance(error, EngineError) else error
