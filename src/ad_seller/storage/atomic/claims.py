"""One run at a time among all processes: a claim with a time to live, renewed while the run goes on."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..concurrency.elapsed import elapsed
from ..concurrency.tasks import later
from ..driver.commit import Commit, Delete, Expect, Put, Refused, Touch, Write
from ..errors import (
    ConflictError,
    InFlightError,
    InvalidArgumentError,
    StorageError,
    TransactionError,
    shown,
)
from ..records.codec import encode
from ..records.expiry import check_ttl
from .expiring import DEFAULT_CLAIM_TTL, ExpiryCap
from .state import LoopState, state_of
from .waits import Run

if TYPE_CHECKING:
    from .committer import Committer

log = logging.getLogger("ad_seller.storage")

_POLL = 0.02  #: seconds between two looks at what another process runs
_NESTED_PATIENCE = 10.0  #: seconds at least that a run inside of another one waits for another process
_RENEWALS = 3  #: renewals in each time to live of a claim, so that one may fail
_SHORTEST_PAUSE = 1.0  #: seconds after which a caller is told to come back, at least

R = TypeVar("R")

#: The runs that the current task is inside of, or was started by; each by its future.
_inside: ContextVar[tuple[Run, ...]] = ContextVar("ad_seller_storage_runs", default=())


class Claim:
    """What tells other processes that something is running; it ends by itself if this process dies.

    Attributes:
        key: where it stands.
        text: what stands there; no two claims have the same.
        put: the write that takes it.
        since: when the commit was sent that took it or renewed it last, by `elapsed`.
    """

    def __init__(self, store: Committer, key: str, ttl_ms: int, **said: Any) -> None:
        """Take nothing yet; ``said`` is written into it, too."""
        self.key = key
        said |= {"claim": uuid.uuid4().hex, "ttl_ms": ttl_ms, "at": time.time()}
        self.text = encode(said)
        self.put = Put(key, self.text, ttl_ms)
        self.since = math.inf
        self._ttl_ms = ttl_ms
        self._store = store

    @property
    def is_old(self) -> bool:
        """Whether half of its time has passed since it was renewed, so that nothing long is begun any more."""
        return elapsed() - self.since > self._ttl_ms / 2000

    async def if_held(self, write: Write) -> bool:
        """Apply ``write`` if the claim is still there; tell whether it is."""
        outcome = await self._store._atomic_commit(Commit((Expect(self.key, self.text),), (write,)))
        return not isinstance(outcome, Refused)

    async def give_up(self) -> None:
        """Remove it if it is ours; if that fails, it ends by itself."""
        with suppress(StorageError):
            await self.if_held(Delete(self.key))

    @asynccontextmanager
    async def renewed(
        self, seconds: float | None = None, overrun: Callable[[], None] | None = None
    ) -> AsyncIterator[None]:
        """Keep it while the block runs; if that fails, the commit will notice.

        Args:
            seconds: after so many it is given up although the block still runs; None for never.
            overrun: called then.
        """
        loop = asyncio.get_running_loop()
        end = math.inf if seconds is None else loop.time() + seconds
        tasks: list[asyncio.Task[None]] = []  # most runs are over before the first renewal, and need none

        def begin() -> None:
            tasks.append(later(self._renew(end, seconds, overrun)))

        timer = loop.call_at(min(loop.time() + self._pause, end), begin)
        try:
            yield
        finally:
            timer.cancel()
            for task in tasks:
                task.cancel()
                await asyncio.wait([task])

    @property
    def _pause(self) -> float:
        """Seconds between two renewals."""
        return self._ttl_ms / 1000 / _RENEWALS

    async def _renew(self, end: float, seconds: float | None, overrun: Callable[[], None] | None) -> None:
        now = asyncio.get_running_loop().time
        while now() < end:
            sent = elapsed()
            try:
                if await self.if_held(Touch(self.key, self._ttl_ms)):
                    self.since = sent
            except Exception as error:  # also of a custom backend
                log.debug("The claim %r could not be renewed: %s", self.key, error)
            await asyncio.sleep(min(self._pause, end - now()))
        log.warning("%r has run for %g s; another one may take over", self.key, seconds)
        if overrun is not None:
            overrun()
        await self.give_up()


class Seen(NamedTuple):
    """The claim of another process, as it was read.

    Attributes:
        key: where it stands.
        text: what stands there.
        ttl_ms: for how many milliseconds it was taken or renewed.
        since: when it was taken, in seconds since the epoch by the clock of its owner; None if that is not known.
    """

    key: str
    text: bytes
    ttl_ms: int
    since: float | None

    @classmethod
    def of(cls, key: str, text: bytes, record: dict[str, Any], own_ttl_ms: int) -> Seen:
        """Return the claim that ``record`` says; older versions did not write down for how long it was taken."""
        ttl_ms, since = record.get("ttl_ms"), record.get("at")
        if not isinstance(ttl_ms, int):
            ttl_ms = max(own_ttl_ms, int(DEFAULT_CLAIM_TTL * 1000))
        return cls(key, text, ttl_ms, since if isinstance(since, int | float) else None)

    @property
    def retry_after(self) -> float:
        """Seconds after which another look makes sense: as long as it runs already, within its time to live."""
        running = 0.0 if self.since is None else time.time() - self.since  # clocks may differ
        return max(_SHORTEST_PAUSE, min(running, self.ttl_ms / 1000))


class Found(NamedTuple):
    """What there is: an answer (in a tuple of its own, as None may be one), or somebody's claim, or neither."""

    answer: tuple[Any] | None = None
    claim: Seen | None = None


class SingleRun:
    """A run that one task among all processes makes at a time; the others wait for its answer.

    Subclasses say how to `_look` for the answer, and how to `_lead` the run.
    """

    def __init__(self, store: Committer, key: str, claim_ttl: Any, *, waits: bool = True) -> None:
        """Check the arguments.

        Args:
            store: where it is noted.
            key: what stands for the run.
            claim_ttl: seconds after which the claim of a process that died ends.
            waits: wait for a run that is under way; else `InFlightError` is raised.
        """
        claim_ttl_ms = check_ttl(claim_ttl, key=key)
        if claim_ttl_ms is None:
            raise InvalidArgumentError("claim_ttl is a number of seconds", key=key)
        self.key = key
        self._store = store
        self._claim_ttl_ms = claim_ttl_ms
        self._waits = waits
        self._expiry = ExpiryCap(store)

    async def _look(self) -> Found:
        raise NotImplementedError

    async def _lead(self, let_go: Callable[[], None]) -> tuple[Any] | None:
        """Make the run and return its answer; None if another process has it."""
        raise NotImplementedError

    async def answer(self) -> tuple[Any, bool]:
        """Return the answer, and whether it was there already or came from somebody else's run."""
        self._store._atomic_check()
        state = state_of(self._store)
        running, inside = state.running, _inside.get()
        if running.get(self.key) in inside:
            raise TransactionError(f"{self.key!r} is run inside of itself; that would wait for ever", key=self.key)
        patience = 0.0
        while True:
            answer, claim = await self._look()
            if answer is not None:
                return answer[0], True
            target = running.get(self.key)
            if target is None and claim is None:
                answer = await self._led(running)
                if answer is not None:
                    return answer[0], False
            elif not self._waits:
                raise self._in_flight(claim)
            elif target is not None:
                await self._wait_here(state, inside, target)
            elif claim is not None:
                now = asyncio.get_running_loop().time()
                patience = patience or now + max(self._claim_ttl_ms / 1000, _NESTED_PATIENCE)
                if inside and now > patience:
                    raise self._entangled()
                await self._expiry.look(claim.key, claim.text, claim.ttl_ms)
                await asyncio.sleep(_POLL)

    async def _led(self, running: dict[str, Run]) -> tuple[Any] | None:
        run = running[self.key] = asyncio.get_running_loop().create_future()
        token = _inside.set((*_inside.get(), run))

        def let_go() -> None:
            if not run.done():
                del running[self.key]
                run.set_result(None)

        try:
            return await self._lead(let_go)
        finally:
            _inside.reset(token)
            let_go()

    async def _wait_here(self, state: LoopState, inside: tuple[Run, ...], target: Run) -> None:
        """Wait for a run of this process."""
        if state.waits.would_never_end(inside, target):
            raise self._entangled()
        with state.waits.noted(inside, target):
            await asyncio.wait([target])

    def _in_flight(self, claim: Seen | None) -> InFlightError:
        pause = _SHORTEST_PAUSE if claim is None else claim.retry_after
        return InFlightError(
            f"{self.key!r} is being worked on; ask again after {pause:.0f} s", key=self.key, retry_after=pause
        )

    def _entangled(self) -> ConflictError:
        return ConflictError(
            f"{self.key!r} is asked for inside of another request, and may wait for that one itself. Nothing was "
            "written; run the other one again, and ask for several requests in the same order everywhere.",
            key=self.key,
        )


def named(prefix: str, scope: object, name: object, *, called: str) -> str:
    """Return ``{prefix}{scope}:{name}`` with the name escaped, so that no two pairs share it.

    Raises:
        InvalidArgumentError: one of them is no non-empty str; ``called`` is what the name is called.
    """
    if not isinstance(scope, str) or not scope:
        raise InvalidArgumentError(f"A scope is a non-empty str, not {shown(scope)}")
    if not isinstance(name, str) or not name:
        raise InvalidArgumentError(f"A {called} is a non-empty str, not {shown(name)}")
    return f"{prefix}{scope}:{escaped(name)}"


def escaped(name: str) -> str:
    """Return a name without the separator, so that scope and name cannot be taken for others."""
    return name.replace("%", "%25").replace(":", "%3A")
