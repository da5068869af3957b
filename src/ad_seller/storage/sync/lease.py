"""A lease without await."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ad_seller.storage import Lease

from .dialogues import Dialogue, Finished
from .loop import loop_thread


class SyncLease:
    """Held by one caller among all that use the store, while its ``with`` block runs.

    It is renewed in the background and given up at the end. Nothing can stop a thread: if the lease is lost
    meanwhile, the block runs on, and its end raises `LeaseLostError`. Ask `check` at each step, or let a commit
    depend on the lease with `SyncTransaction.hold`.
    """

    def __init__(self, inner: Lease) -> None:
        """Take nothing yet; that is done by ``with``."""
        self.inner = inner
        self._dialogue: Dialogue | None = None

    @property
    def key(self) -> str:
        """The entry that stands for the lease."""
        return self.inner.key

    @property
    def fence(self) -> int:
        """A number that is larger with each holder, for systems outside the store."""
        return self.inner.fence

    @property
    def held(self) -> bool:
        """Whether it is held as far as is known here; only a commit with `SyncTransaction.hold` makes sure."""
        return self.inner.held

    def check(self) -> None:
        """Raise `LeaseLostError` unless it is held."""
        self.inner.check()

    def __enter__(self) -> Self:
        """Wait for the lease, at most ``wait`` seconds.

        Raises:
            LeaseHeldError: another holder has it.
            TransactionError: this object is in use; make another one with `lease`.
        """
        dialogue = Dialogue(loop_thread(), lasting=True)
        try:
            dialogue.enter(self.inner, self)
            self._dialogue = dialogue
        except BaseException:
            dialogue.finish(Finished())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it up; if it was lost meanwhile, say so."""
        dialogue, self._dialogue = self._dialogue, None
        assert dialogue is not None, "entered"  # noqa: S101
        try:
            dialogue.leave(kind, error, trace)
        finally:
            dialogue.finish(Finished())
