"""The logs and the outboxes of a backend; what they are is imported by the first that asks for one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import UnsupportedError
from ..records.expiry import TTL, check_ttl
from .stored import Stored

if TYPE_CHECKING:
    from .log import Log
    from .outbox import Outbox

COMMIT_SECONDS = 5.0  #: how long an append to a log may take, where a backend has no time-out
CLOCK_SECONDS = 2.0  #: how much the clocks of two machines may differ that append to a log


class Streams:
    """The logs and outboxes of a backend; mixed into it."""

    def log(
        self: Stored,
        name: str,
        by: Iterable[str] = (),
        *,
        retention: TTL | None = None,
        commit_seconds: float | None = None,
        clock_seconds: float | None = None,
    ) -> Log:
        """Return the log called ``name``; it costs nothing and stores nothing until something is appended.

        Args:
            name: e.g. ``event``; its entries stand under ``log:event:{id}``.
            by: the fields of its entries (paths with dots) that it can be read by, e.g. ``("session_id", "type")``.
                Every process that appends declares the same.
            retention: seconds after which an entry is removed; None for never.
            commit_seconds: how long an append, or the rest of its transaction, may take at most. Those who follow
                look back by as much. None for the backend's ``log_commit_seconds``, which is its time-out of calls
                unless given.
            clock_seconds: how much the clocks of two machines may differ. None for the backend's
                ``log_clock_seconds``, which is 2 unless given.

        Raises:
            InvalidArgumentError: the name or a field is no non-empty str.
            InvalidTTLError: a time is not positive.
        """
        from .log import Log
        from .log_entries import LogForm
        from .log_following import Span

        form = LogForm.of(name, by)
        commit, clock = self._log_seconds()
        span = Span.of(
            commit if commit_seconds is None else commit_seconds, clock if clock_seconds is None else clock_seconds
        )
        return Log(self, form, check_ttl(retention), span)

    def outbox(self: Stored, name: str) -> Outbox:
        """Return the outbox called ``name``; it costs nothing and stores nothing until something is put.

        Args:
            name: e.g. ``webhooks``; its messages stand under ``outbox:webhooks:``.

        Raises:
            InvalidArgumentError: the name is no non-empty str.
            UnsupportedError: the backend is atomic within a process only: two workers could have one message.
        """
        from .outbox import Outbox
        from .outbox_entries import OutboxForm

        if self.capabilities.atomic != "store":
            raise UnsupportedError(
                f"{type(self).__name__} is atomic within one process only (capabilities.atomic), so it cannot "
                "promise that a message has one worker. Use SQLite, Redis or PostgreSQL for an outbox."
            )
        return Outbox(self, OutboxForm.of(name))
