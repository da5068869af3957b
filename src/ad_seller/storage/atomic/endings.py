"""Taking back what was claimed: the caller waits for that, unless the store does not answer."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ..concurrency.tasks import later, run_to_end
from ..errors import StorageConnectionError, StorageTimeoutError, UnknownOutcomeError
from .state import state_of

if TYPE_CHECKING:
    from .committer import Committer


async def end(store: Committer, ending: Coroutine[Any, Any, Any], error: BaseException) -> None:
    """Do something, such as giving a claim up, that ends what ``error`` has interrupted.

    The caller waits for it, also if it is cancelled (again); but not where the store has not answered, be it that
    this is the cause of the cancellation (see `run_to_end`). Then it is done without the caller.
    """
    if not (_tells_of_silence(error) or _tells_of_silence(error.__cause__)):
        await run_to_end(ending)
        return
    tasks = state_of(store).tasks
    task = later(ending)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _tells_of_silence(error: BaseException | None) -> bool:
    """Whether the store does not answer: it would let the caller wait for as long again."""
    if isinstance(error, UnknownOutcomeError):  # most often the connection was lost, and the next one answers
        return isinstance(error.__cause__, TimeoutError)
    return isinstance(error, StorageConnectionError | StorageTimeoutError)
