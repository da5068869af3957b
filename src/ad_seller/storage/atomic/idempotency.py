"""A request that is sent several times runs once, and every sender gets the same answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from ..concurrency.backoff import DEFAULT_ATTEMPTS
from ..concurrency.tasks import run_to_end
from ..driver.commit import Commit, Delete, Expect, Put, Refused, Write
from ..errors import (
    ConflictError,
    IdempotencyConflictError,
    IdempotencyExpiredError,
    InvalidArgumentError,
    InvalidValueError,
    UnknownOutcomeError,
    shown,
)
from ..records.codec import canonical, decode, encode
from ..records.expiry import MAX_TTL_MS, check_ttl
from ..records.keys import check_key
from .attempts import run_transaction
from .claims import Claim, Found, Seen, SingleRun, named
from .confirm import is_confirmed
from .endings import end
from .expiring import DEFAULT_CLAIM_TTL
from .transaction import PlainTransaction
from .work import awaitable, check_work

if TYPE_CHECKING:
    from .committer import Committer

IDEMPOTENCY_PREFIX = "idempotency:"
USED_PREFIX = "idempotency_used:"  #: keys whose result is remembered no longer
FENCE_PREFIX = "idempotency_fence:"  #: how often a request with ``max_seconds`` was claimed

_FENCE_MS = 86_400_000  #: milliseconds that this number is kept beyond the result: longer than any work takes

InFlight = Literal["wait", "raise"]
Work = Callable[[Any], Awaitable[Any]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What `run_once_detailed` returns.

    Attributes:
        result: what the work returned, the same for every sender.
        replayed: whether it comes from a run of before, or of somebody else.
        first_answered: when it was made, by the clock of the process that made it; None for a record of an older
            version or agent, which did not write that down.
    """

    result: T
    replayed: bool
    first_answered: datetime | None

    @classmethod
    def of(cls, record: dict[str, Any], replayed: bool) -> Answer[Any]:
        """Return what a record says."""
        at = record.get("at")
        return cls(
            record["result"], replayed, datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else None
        )


class Terms(NamedTuple):
    """How a request is run and remembered; see `run_once`."""

    ttl: Any = 86_400
    claim_ttl: Any = DEFAULT_CLAIM_TTL
    legacy: Callable[[Any], Any] | None = None
    in_flight: InFlight = "wait"
    max_seconds: Any = None
    remember_expired: Any = None


class Idempotent(SingleRun):
    """One request, identified by scope and key.

    A claim with a short time to live tells other processes that it is running; it is renewed while ``work``
    runs. The result and all that ``work`` writes are one commit, which expects that claim: whoever lost it
    to another process writes nothing.
    """

    def __init__(
        self,
        store: Committer,
        begin: Callable[[], PlainTransaction],
        scope: str,
        key: str,
        request: Any,
        work: Work,
        terms: Terms,
    ) -> None:
        """Check the arguments; ``begin`` makes the transaction that ``work`` gets."""
        check_work(work)
        self._work = work
        name = check_key(named(IDEMPOTENCY_PREFIX, scope, key, called="key of a request"))
        if terms.in_flight not in ("wait", "raise"):
            raise InvalidArgumentError(f"in_flight is 'wait' or 'raise', not {shown(terms.in_flight)}", key=name)
        super().__init__(store, name, terms.claim_ttl, waits=terms.in_flight == "wait")
        self._begin = begin
        # Where a key was not escaped, ("a:b", "c") and ("a", "b:c") shared a record; the digest tells them apart.
        self._names = [name]
        if ":" in key or "%" in key:
            self._names.append(check_key(f"{IDEMPOTENCY_PREFIX}{scope}:{key}"))
        self._legacy = terms.legacy
        self._digest = hashlib.sha256(canonical([scope, key, request])).hexdigest()
        self._ttl_ms = check_ttl(terms.ttl, key=name)
        max_ms = check_ttl(terms.max_seconds, key=name)
        self._max_seconds = None if max_ms is None else max_ms / 1000
        self._used_ms = check_ttl(terms.remember_expired, key=name)
        if self._used_ms is not None and self._ttl_ms is None:
            raise InvalidArgumentError("remember_expired needs a ttl: without one nothing expires", key=name)
        self._used_key: str | None = None
        self._fence_key: str | None = None
        self._keys = self._names
        if self._used_ms is not None or max_ms is not None:
            self._name_further(name.removeprefix(IDEMPOTENCY_PREFIX), takeover=max_ms is not None)
        self._fence: bytes | None = None

    def _name_further(self, suffix: str, *, takeover: bool) -> None:
        """Name the entries beside the record that the terms ask for."""
        self._used_key = None if self._used_ms is None else check_key(USED_PREFIX + suffix)
        self._fence_key = check_key(FENCE_PREFIX + suffix) if takeover else None
        self._keys = [*self._names, *(further for further in (self._used_key, self._fence_key) if further)]

    async def _look(self) -> Found:
        """Return what the record says; it is found by today's name or an older one."""
        while True:
            texts = await self._store._atomic_snapshot(self._keys)
            for name, text in zip(self._names, texts, strict=False):  # behind the names stand further keys
                if text is not None and (record := self._checked(name, decode(text, key=name))) is not None:
                    break
            else:
                if await self._is_new(texts):
                    return Found()
                continue
            if "result" not in record:
                return Found(None, Seen.of(name, text, record, self._claim_ttl_ms))
            if await is_confirmed(self._store, name, text):
                return Found((record,))

    async def _is_new(self, texts: Sequence[bytes | None]) -> bool:
        """Tell whether the key was never used as far as is remembered, and note the number of the last claim.

        Raises:
            IdempotencyExpiredError: it was used.
        """
        further = dict(zip(self._keys, texts, strict=True))
        if self._fence_key is not None:
            self._fence = further[self._fence_key]
        if self._used_key is None or (used := further[self._used_key]) is None:
            return True
        if await is_confirmed(self._store, self._used_key, used):
            raise self._expired()
        return False

    def _checked(self, name: str, record: Any) -> dict[str, Any] | None:
        """Return the record; None for one of another pair, which shared our name before keys were escaped."""
        if not isinstance(record, dict) or not isinstance(record.get("request"), str):
            if self._legacy is None:
                raise InvalidValueError(
                    f"{name!r} holds a record of another form; read it with legacy=…, or choose another key",
                    key=name,
                )
            return {"request": self._digest, "result": self._legacy(record)}
        if record["request"] != self._digest and name == self.key:
            raise IdempotencyConflictError(
                f"{self.key!r} was used for another request; a new request needs a new key", key=self.key
            )
        return record if record["request"] == self._digest else None

    def _expired(self) -> IdempotencyExpiredError:
        return IdempotencyExpiredError(
            f"{self.key!r} was used, and its answer is remembered no longer; nothing was run. Look what became of "
            "that request, and send a new one with a new key.",
            key=self.key,
        )

    async def _lead(self, let_go: Callable[[], None]) -> tuple[Any] | None:
        """Claim the request, run it and return its record; None if another process has it."""
        claim = Claim(self._store, self.key, self._claim_ttl_ms, request=self._digest)
        fence = self._next_fence()
        try:
            if not await run_to_end(self._take(claim, fence)):
                return None
        except (asyncio.CancelledError, UnknownOutcomeError) as error:
            await end(self._store, claim.give_up(), error)  # it may have been taken
            raise
        try:
            async with claim.renewed(self._max_seconds, let_go):
                return await self._run_claimed(claim.text, fence)
        except BaseException as error:
            await end(self._store, claim.give_up(), error)
            raise

    def _next_fence(self) -> Put | None:
        """Return the next number of a request that may be taken over; a commit removes it.

        It outlives the work, however short the result is remembered. Where none is left, the next one begins
        anywhere: a number that an older claim had would let that one commit.
        """
        if self._fence_key is None:
            return None
        last = uuid.uuid4().int >> 80 if self._fence is None else decode(self._fence, key=self._fence_key)
        ttl_ms = None if self._ttl_ms is None else min(self._ttl_ms + _FENCE_MS, MAX_TTL_MS)
        return Put(self._fence_key, encode(last + 1), ttl_ms)

    async def _take(self, claim: Claim, fence: Put | None) -> bool:
        expectations, writes = [Expect(self.key, None)], [claim.put]
        if self._used_key is not None:
            expectations.append(Expect(self._used_key, None))
        if fence is not None:
            expectations.append(Expect(fence.key, self._fence))
            writes.append(fence)
        outcome = await self._store._atomic_commit(Commit(tuple(expectations), tuple(writes)))
        return not isinstance(outcome, Refused)

    async def _run_claimed(self, claim: bytes, fence: Put | None) -> tuple[Any] | None:
        """Run the work until its commit goes through, or the claim is lost."""

        async def run(transaction: PlainTransaction) -> bytes | None:
            try:
                return await self._attempt(transaction, claim, fence)
            except ConflictError as error:
                if transaction._conflicted and error.key == self.key:
                    return await self._commit_late(transaction._commit)
                if transaction._conflicted and fence is not None and error.key == fence.key:
                    return None
                raise

        text = await run_transaction(self._store, self._begin, run, attempts=DEFAULT_ATTEMPTS)
        return None if text is None else (decode(text),)

    async def _attempt(self, transaction: PlainTransaction, claim: bytes, fence: Put | None) -> bytes:
        async with transaction:
            result = await awaitable(self._work(transaction))
            record = {"request": self._digest, "result": result, "at": time.time()}
            text = self._store._atomic_encode(record, self.key)
            transaction._include(Expect(self.key, claim), Put(self.key, text, self._ttl_ms))
            if fence is not None:
                transaction._include(Expect(fence.key, fence.text), Delete(fence.key))
            if self._used_key is not None:
                transaction._include(Expect(self._used_key, None), self._used())
        return text

    def _used(self) -> Write:
        assert self._used_key is not None and self._used_ms is not None and self._ttl_ms is not None  # noqa: S101,PT018
        return Put(self._used_key, encode({"request": self._digest}), self._ttl_ms + self._used_ms)

    async def _commit_late(self, commit: Commit) -> bytes | None:
        """Commit after the claim has ended, e.g. because the work held up the event loop, if nobody has it now.

        A request that may be taken over has its number among what is expected: whoever was replaced is refused,
        also where the one in his place has failed and left nothing else.
        """
        expectations = tuple(e if e.key != self.key else Expect(self.key, None) for e in commit.expectations)
        outcome = await self._store._atomic_commit(Commit(expectations, commit.writes))
        if isinstance(outcome, Refused):
            return None
        return next(write.text for write in commit.writes if isinstance(write, Put) and write.key == self.key)
