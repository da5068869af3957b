"""Outboxes without await."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from ad_seller.storage import Message, OnCorrupt, Outbox, Page, TransactionOutbox

from .handover import reported

Run = Callable[..., Any]  #: runs an async function in the event loop and returns what it returns


class SyncTransactionOutbox:
    """An outbox as a transaction without await has it."""

    def __init__(self, inner: TransactionOutbox, run: Run) -> None:
        """Keep both."""
        self._inner = inner
        self._do = run

    def put(self, message: Any, key: str | None = None) -> str:
        """Have ``message`` delivered once the transaction is committed, and return its id."""
        return str(self._do(self._inner.put, message, key))


class SyncMessage:
    """A `Message` whose methods block: ``with message: send(message.value, id=message.id)``."""

    def __init__(self, inner: Message, run: Run) -> None:
        """Keep both."""
        self._inner = inner
        self._do = run
        self.id = inner.id
        self.key = inner.key
        self.value = inner.value
        self.attempts = inner.attempts

    def done(self) -> None:
        """Acknowledge it: it is delivered and does not come again."""
        self._do(self._inner.done)

    def failed(self, error: object = None) -> None:
        """Have it delivered again after a pause, or set it aside if it is older than the horizon."""
        self._do(self._inner.failed, error)

    def __enter__(self) -> Self:
        """Begin to deliver it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Acknowledge it, or have it delivered again; what goes wrong ends here, in the log."""
        return bool(self._do(self._inner.__aexit__, kind, error, trace))


class SyncOutbox:
    """An `Outbox` whose methods block."""

    def __init__(self, inner: Outbox, run: Run) -> None:
        """Keep both."""
        self._inner = inner
        self._do = run

    @property
    def name(self) -> str:
        """The name of the outbox."""
        return self._inner.name

    def put(self, message: Any, key: str | None = None) -> str:
        """Store a message in a commit of its own and return its id."""
        return str(self._do(self._inner.put, message, key))

    def work(
        self,
        *,
        lease: float = 30.0,
        first_pause: float = 1.0,
        longest_pause: float = 600.0,
        horizon: float = 86_400.0,
        idle: float | None = None,
    ) -> Iterator[SyncMessage]:
        """Yield messages to deliver, one at a time, for as long as it is asked; in any number of processes."""
        messages = self._inner.work(
            lease=lease, first_pause=first_pause, longest_pause=longest_pause, horizon=horizon, idle=idle
        )
        try:
            while True:
                yield SyncMessage(self._do(anext, messages), self._do)
        finally:
            self._do(messages.aclose)

    def waiting(self) -> int:
        """Return how many messages wait, those that are being delivered included."""
        return int(self._do(self._inner.waiting))

    def set_aside(
        self, *, limit: int | None = None, cursor: str | None = None, on_corrupt: OnCorrupt = None
    ) -> Page:
        """Return a page of the messages that were set aside, as pairs of id and record, the oldest first."""
        with reported(on_corrupt) as report:
            page: Page = self._do(self._inner.set_aside, limit=limit, cursor=cursor, on_corrupt=report)
        return page

    def retry(self, message_id: str) -> bool:
        """Have a message that was set aside delivered again, under its id; tell whether there was one."""
        return bool(self._do(self._inner.retry, message_id))

    def drop(self, message_id: str) -> bool:
        """Remove a message that was set aside, for good; tell whether there was one."""
        return bool(self._do(self._inner.drop, message_id))
