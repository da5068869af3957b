"""A request that is sent several times runs once, and every sender gets the same answer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..concurrency.backoff import DEFAULT_ATTEMPTS
from ..concurrency.tasks import run_to_end
from ..driver.commit import Commit, Delete, Expect, Put, Refused, Touch, Write
from ..errors import (
    ConflictError,
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidValueError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    TransactionError,
    UnknownOutcomeError,
    shown,
)
from ..records.codec import canonical, decode, encode
from ..records.expiry import check_ttl
from ..records.keys import check_key
from .attempts import run_transaction
from .confirm import is_confirmed
from .expiring import ExpiryCap
from .state import state_of
from .transaction import PlainTransaction, awaited, check_work

if TYPE_CHECKING:
    from .committer import Committer

log = logging.getLogger("ad_seller.storage")

IDEMPOTENCY_PREFIX = "idempotency:"
DEFAULT_CLAIM_TTL = 10.0  #: seconds after which the claim of a process that died ends
_POLL = 0.02  #: seconds between two looks at a request that another process runs
_NESTED_PATIENCE = 10.0  #: seconds at least that a request inside of another one waits for another process
_RENEWALS = 3  #: renewals in each time to live of a claim, so that one may fail

Work = Callable[[Any], Awaitable[Any]]

#: The runs whose work the current task is inside of, or was started by; each by its future.
_inside: ContextVar[tuple[asyncio.Future[None], ...]] = ContextVar("ad_seller_storage_requests", default=())


class Idempotent:
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
        *,
        ttl: Any,
        claim_ttl: float,
        legacy: Callable[[Any], Any] | None = None,
    ) -> None:
        """Check the arguments; ``begin`` makes the transaction that ``work`` gets."""
        for name, part in (("scope", scope), ("key", key)):
            if not isinstance(part, str) or not part:
                raise InvalidArgumentError(f"The {name} of a request is a non-empty str, not {shown(part)}")
        self._store = store
        self._begin = begin
        self._expiry = ExpiryCap(store)
        self.key = check_key(f"{IDEMPOTENCY_PREFIX}{scope}:{escaped(key)}")
        # Where a key was not escaped, ("a:b", "c") and ("a", "b:c") shared a record; the digest tells them apart.
        self._older = [check_key(f"{IDEMPOTENCY_PREFIX}{scope}:{key}")] if escaped(key) != key else []
        self._legacy = legacy
        self._digest = hashlib.sha256(canonical([scope, key, request])).hexdigest()
        self._ttl_ms = check_ttl(ttl, key=self.key)
        claim_ttl_ms = check_ttl(claim_ttl, key=self.key)
        if claim_ttl_ms is None:
            raise InvalidArgumentError("claim_ttl is a number of seconds", key=self.key)
        self._claim_ttl_ms = claim_ttl_ms

    async def run(self, work: Work) -> Any:
        """Return the result of ``work``, from this run or from the one that was first."""
        check_work(work)
        self._store._atomic_check()
        state = state_of(self._store)
        running, inside = state.running, _inside.get()
        if running.get(self.key) in inside:
            raise TransactionError(f"{self.key!r} is run inside of itself; that would wait for ever", key=self.key)
        patience = asyncio.get_running_loop().time() + max(self._claim_ttl_ms / 1000, _NESTED_PATIENCE)
        while True:
            name, text, record = await self._record()
            if record is not None and "result" in record:
                if await is_confirmed(self._store, name, text):
                    return record["result"]
            elif (target := running.get(self.key)) is not None:
                if state.waits.would_never_end(inside, target):
                    raise self._entangled()
                with state.waits.noted(inside, target):
                    await asyncio.wait([target])
            elif record is not None:
                if inside and asyncio.get_running_loop().time() > patience:
                    raise self._entangled()
                await self._await_claim(name, text, record)
            else:
                run = running[self.key] = asyncio.get_running_loop().create_future()
                token = _inside.set((*_inside.get(), run))
                try:
                    made = await self._lead(work)
                finally:
                    _inside.reset(token)
                    running.pop(self.key).set_result(None)
                if made is not None:
                    return decode(made)["result"]

    def _entangled(self) -> ConflictError:
        return ConflictError(
            f"{self.key!r} is asked for inside of another request, and may wait for that one itself. Nothing was "
            "written; run the other one again, and ask for several requests in the same order everywhere.",
            key=self.key,
        )

    async def _record(self) -> tuple[str, bytes | None, dict[str, Any] | None]:
        """Return the name of the record, its text and what it says; by today's name or an older one."""
        names = [self.key, *self._older]
        texts = await self._store._atomic_snapshot(names)
        for name, text in zip(names, texts, strict=True):
            if text is not None and (record := self._checked(name, decode(text, key=name))) is not None:
                return name, text, record
        return self.key, None, None

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

    async def _await_claim(self, name: str, text: bytes | None, record: dict[str, Any]) -> None:
        """Wait a moment for a request that another process runs; its claim ends in time, whatever a clock says."""
        if text is not None:
            given = record.get("ttl_ms")  # older versions did not write it down
            ttl_ms = given if isinstance(given, int) else max(self._claim_ttl_ms, int(DEFAULT_CLAIM_TTL * 1000))
            await self._expiry.look(name, text, ttl_ms)
        await asyncio.sleep(_POLL)

    async def _lead(self, work: Work) -> bytes | None:
        """Claim the request, run it and return its record; None if another process has it."""
        claim = encode({"request": self._digest, "claim": uuid.uuid4().hex, "ttl_ms": self._claim_ttl_ms})
        put = Put(self.key, claim, self._claim_ttl_ms)
        try:
            if not await run_to_end(self._commits(None, put)):
                return None
        except (asyncio.CancelledError, UnknownOutcomeError):
            await run_to_end(self._give_up(claim))  # it may have been taken
            raise
        try:
            async with self._renewed(claim):
                return await self._run_claimed(work, claim)
        except (StorageTimeoutError, StorageConnectionError):
            self._give_up_later(claim)  # a store that does not answer now would let the caller wait twice
            raise
        except BaseException:
            await run_to_end(self._give_up(claim))
            raise

    def _give_up_later(self, claim: bytes) -> None:
        tasks = state_of(self._store).tasks
        task = asyncio.get_running_loop().create_task(self._give_up(claim))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _run_claimed(self, work: Work, claim: bytes) -> bytes | None:
        """Run ``work`` until its commit goes through, or the claim is lost."""

        async def run(transaction: PlainTransaction) -> bytes | None:
            try:
                return await self._attempt(transaction, work, claim)
            except ConflictError as error:
                if transaction._conflicted and error.key == self.key:
                    return await self._commit_late(transaction._commit)
                raise

        return await run_transaction(self._store, self._begin, run, attempts=DEFAULT_ATTEMPTS)

    async def _attempt(self, transaction: PlainTransaction, work: Work, claim: bytes) -> bytes:
        async with transaction:
            result = await awaited(work(transaction))
            text = self._store._atomic_encode({"request": self._digest, "result": result}, self.key)
            transaction._include(Expect(self.key, claim), Put(self.key, text, self._ttl_ms))
        return text

    async def _commit_late(self, commit: Commit) -> bytes | None:
        """Commit after the claim has ended, e.g. because ``work`` held up the event loop, if nobody has it now."""
        expectations = tuple(e if e.key != self.key else Expect(self.key, None) for e in commit.expectations)
        outcome = await self._store._atomic_commit(Commit(expectations, commit.writes))
        if isinstance(outcome, Refused):
            return None
        return next(write.text for write in commit.writes if isinstance(write, Put) and write.key == self.key)

    async def _commits(self, expected: bytes | None, write: Write) -> bool:
        outcome = await self._store._atomic_commit(Commit((Expect(self.key, expected),), (write,)))
        return not isinstance(outcome, Refused)

    async def _give_up(self, claim: bytes) -> None:
        with suppress(StorageError):  # the claim also ends by itself
            await self._commits(claim, Delete(self.key))

    @asynccontextmanager
    async def _renewed(self, claim: bytes) -> AsyncIterator[None]:
        """Keep the claim while the block runs; if that fails, the commit will notice."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._claim_ttl_ms / 1000 / _RENEWALS)
                try:
                    await self._commits(claim, Touch(self.key, self._claim_ttl_ms))
                except Exception as error:  # also of a custom backend
                    log.debug("The claim of %r could not be renewed: %s", self.key, error)

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


def escaped(key: str) -> str:
    """Return an idempotency key without the separator, so that scope and key cannot be taken for others."""
    return key.replace("%", "%25").replace(":", "%3A")
