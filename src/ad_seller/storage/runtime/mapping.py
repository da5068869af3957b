"""What an engine's failure becomes: the one place that makes errors of ours, and that knows what is unknown."""

from __future__ import annotations

from ..concurrency.tasks import copied
from ..driver.engine import Engine
from ..driver.failures import LostError, NotSentError, NotStartedError, reason_of
from ..errors import StorageError, StorageTimeoutError, UnknownOutcomeError, redact


class ErrorMapper:
    """Makes errors for the callers of one engine.

    Args:
        engine: says what an error of its library means.
        timeout: seconds that a call waits, for the messages.
    """

    def __init__(self, engine: Engine, timeout: float) -> None:
        """Keep both."""
        self._engine = engine
        self._timeout = timeout
        self._not_applied: tuple[type[Exception], ...] = (NotStartedError, NotSentError, *engine.refusals)

    def map(self, verb: str, key: str | None, error: BaseException, *, writes: bool = False) -> StorageError:
        """Return an error of ours that says what failed; always a new one, because several calls may share it.

        Args:
            verb: what could not be done, e.g. "read".
            key: the key or pattern that it was about; None for the store itself.
            error: what the engine raised.
            writes: whether the call may have changed something: then one that was lost has an unknown outcome, and
                so has one that ended by what the engine does not raise, e.g. a time-out or an interrupt: nobody
                knows how far it was.
        """
        mapped = self._mapped(verb, key, error, writes)
        mapped.__cause__ = error.__cause__ if isinstance(error, StorageError) else reason_of(error)
        return mapped

    def _mapped(self, verb: str, key: str | None, error: BaseException, writes: bool) -> StorageError:
        if isinstance(error, StorageError):
            fresh = copied(error)
            fresh.key = key if error.key is None else error.key
            return fresh
        what = f"Cannot {verb} {key!r}" if key is not None else f"Cannot {verb} the store"
        reason = reason_of(error)
        if writes and not isinstance(error, self._not_applied):
            return UnknownOutcomeError(
                f"{what}: it was sent but not confirmed ({redact(str(error) or type(reason).__name__)}). It may or "
                "may not have been applied: read the key before writing again.",
                key=key,
            )
        if isinstance(error, NotStartedError):
            return StorageTimeoutError(f"{what}: {redact(str(error))}. Nothing was written.", key=key)
        if isinstance(reason, TimeoutError) and not isinstance(error, LostError | NotSentError):
            return StorageTimeoutError(
                f"{what}: no answer within {self._timeout:g} s. Is the server overloaded or frozen?", key=key
            )
        return self._engine.explain(what, key, reason)
