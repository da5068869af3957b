"""A transaction that is run again as long as others are faster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from ..concurrency.backoff import backoff
from ..errors import ConflictError
from .committer import Committer
from .state import retry_turn, tally_of

if TYPE_CHECKING:
    from .transaction import PlainTransaction

Tx = TypeVar("Tx", bound="PlainTransaction")
T = TypeVar("T")


async def run_transaction(
    store: Committer, begin: Callable[[], Tx], run: Callable[[Tx], Awaitable[T]], *, attempts: int
) -> T:
    """Return what ``run`` makes of a new transaction, which it enters; on a conflict it gets another.

    Args:
        store: where it is committed.
        begin: makes a transaction.
        run: enters it and returns the result.
        attempts: how often at most, with growing pauses.

    Raises:
        ConflictError: others were faster each time, or ``run`` raised one of its own.
    """
    turn: AbstractAsyncContextManager[None] = nullcontext()
    for attempt in range(attempts):
        async with turn:
            transaction = begin()
            try:
                return await run(transaction)
            except ConflictError as error:
                if not transaction._conflicted or attempts == 1:
                    raise
                if attempt + 1 == attempts:
                    raise _overtaken(error, attempts) from error
                turn = retry_turn(store, error.key or "")
                tally_of(store).retry()
        if attempt:  # not after the first: the turn orders the tasks of this process
            await backoff(attempt)
    raise AssertionError("not reached: the last attempt returns or raises")


def _overtaken(error: ConflictError, attempts: int) -> ConflictError:
    return ConflictError(
        f"{error.key!r} was changed by others {attempts} times in a row; nothing was written. Try again later.",
        key=error.key,
    )
