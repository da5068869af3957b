"""A transaction without await."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable
from contextvars import copy_context
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from ad_seller.storage import TTL, StorageBackend, Transaction, TransactionError

from .calls import serving
from .dialogues import Dialogue, Finished
from .handover import check_plain, plain_result
from .log import SyncTransactionLog
from .loop import LoopThread, loop_thread
from .methods.entities import EntityMethods
from .methods.indexes import IndexMethods
from .methods.lifecycle import LifecycleMethods
from .methods.offers import OfferMethods
from .methods.transaction import PlainTransactionMethods
from .outbox import SyncTransactionOutbox

P = ParamSpec("P")
R = TypeVar("R")


_of_thread = threading.local()  # its latest transaction of each store, by the id of the store


class SyncTransaction(
    PlainTransactionMethods,
    EntityMethods[Transaction],
    OfferMethods[Transaction],
    IndexMethods[Transaction],
    LifecycleMethods[Transaction],
):
    """Reads that are remembered and writes that are kept back until the end; then one commit.

    It belongs to the thread that entered it; otherwise it is a `Transaction`.
    """

    def __init__(self, inner: Transaction, store: StorageBackend) -> None:
        """Begin nothing yet; that is done by ``with``."""
        self._inner = inner
        self._store = store
        self._dialogue: Dialogue | None = None
        self._owner = 0

    @property
    def changes(self) -> dict[str, Any]:
        """What the end will write, by key: copies of the values, or `DELETE`; for logs and audits."""
        return self._inner.changes

    def log(self, name: str, by: Iterable[str] = (), *, retention: TTL | None = None) -> SyncTransactionLog:
        """Return the log called ``name``, to append to it in this transaction."""
        return SyncTransactionLog(self._inner.log(name, by, retention=retention), self._run)

    def outbox(self, name: str) -> SyncTransactionOutbox:
        """Return the outbox called ``name``, to put messages in at the end of this transaction."""
        return SyncTransactionOutbox(self._inner.outbox(name), self._run)

    def _run(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._checked().run(function, *args, **kwargs)

    def _checked(self) -> Dialogue:
        if self._dialogue is None:
            raise TransactionError("The transaction has not begun, or has ended")
        if threading.get_ident() != self._owner:
            raise TransactionError("A transaction belongs to the thread that entered it; this is another one")
        return self._dialogue

    def _begin(self, dialogue: Dialogue) -> None:
        """Be open from now on, until `_dialogue` is None: an assignment, which no interrupt can prevent."""
        latest: dict[int, weakref.ref[SyncTransaction]] = _of_thread.__dict__.setdefault("latest", {})
        other = latest[id(self._store)]() if id(self._store) in latest else None
        if other is not None and other._dialogue is not None:
            raise TransactionError("Transactions cannot be nested; pass the outer one on instead")
        latest[id(self._store)] = weakref.ref(self)
        self._owner = threading.get_ident()
        self._dialogue = dialogue

    def __enter__(self) -> Self:
        """Begin."""
        if self._dialogue is not None:
            raise TransactionError("A transaction is entered once; make a new one with transaction()")
        dialogue = Dialogue(loop_thread(), lasting=True)
        try:
            self._begin(dialogue)
            dialogue.enter(self._inner, self)
        except BaseException:
            self._dialogue = None
            dialogue.finish(Finished())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, unless an exception leaves the block."""
        dialogue = self._checked()
        try:
            dialogue.leave(kind, error, trace)
        finally:
            self._dialogue = None
            dialogue.finish(Finished())


def in_thread(work: Callable[..., R], store: StorageBackend, thread: LoopThread) -> Callable[..., Awaitable[R]]:
    """Return an async function of a transaction that has ``work`` run in the thread that waits for this call.

    Raises:
        InvalidArgumentError: ``work`` is no plain function.
    """
    check_plain(work)

    async def asked(inner: Transaction, *arguments: Any) -> Any:
        dialogue = Dialogue(thread, lasting=False)
        transaction = SyncTransaction(inner, store)

        def run() -> Any:
            try:
                transaction._begin(dialogue)
                return plain_result(work(transaction, *arguments))
            finally:
                transaction._dialogue = None

        return await _in_calling_thread(run, dialogue)

    return asked


def call_in_thread(call: Callable[[str], R], thread: LoopThread) -> Callable[[str], Awaitable[R]]:
    """Return an async function that has ``call`` run in the thread that waits for this call.

    A plain function cannot be cut off: where that is tried, its thread goes on when it has returned.

    Raises:
        InvalidArgumentError: ``call`` is no plain function.
    """
    check_plain(call)

    async def asked(argument: str) -> Any:
        return await _in_calling_thread(lambda: plain_result(call(argument)), Dialogue(thread, lasting=False))

    return asked


async def _in_calling_thread(run: Callable[[], Any], dialogue: Dialogue) -> Any:
    context = copy_context()
    serving().ask(lambda: context.run(_run, run, dialogue))
    return await dialogue.serve()


def _run(run: Callable[[], Any], dialogue: Dialogue) -> None:
    """Run it and tell the event loop how it ended; what is no Exception cancels the call, see `Call.wait`."""
    try:
        result = run()
    except Exception as error:
        dialogue.finish(Finished(error=error))
    else:
        dialogue.finish(Finished(result))
