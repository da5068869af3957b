"""An effect outside the store is made once: noted before it is made, and asked about after a crash.

No store can commit together with somebody else's system. So a note "about to be made", with an id for the other
system, is committed first; then the call is made; then its result is committed. Whoever finds such a note without
anybody at work on it asks the other system what became of the id before it makes anything.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..concurrency.backoff import DEFAULT_ATTEMPTS
from ..concurrency.elapsed import elapsed
from ..concurrency.tasks import run_to_end
from ..driver.commit import Commit, Delete, Expect, Put, Refused, Write
from ..errors import (
    ConflictError,
    EffectUnknownError,
    InvalidArgumentError,
    InvalidValueError,
    StorageError,
    StorageTimeoutError,
    TransactionError,
    UnknownOutcomeError,
    redact,
    shown,
)
from ..records.codec import decode, encode
from ..records.expiry import check_ttl
from .attempts import run_transaction
from .beside import is_inside
from .claims import Claim, Found, Seen, SingleRun
from .confirm import is_confirmed
from .endings import end
from .outcomes import Applied, EffectKeys, Reconciled, Unknown, made, read_note
from .transaction import PlainTransaction
from .work import awaitable

if TYPE_CHECKING:
    from .committer import Committer

_SAID = 300  #: characters of an error that are kept for operators


class EffectTerms(NamedTuple):
    """How an effect is made; see `StorageBackend.effect`."""

    call: Callable[[str], Awaitable[Any]]
    reconcile: Callable[[str], Awaitable[Reconciled]]
    then: Callable[[Any, Any], Awaitable[object]] | None
    timeout: Any
    ttl: Any
    claim_ttl: Any


class _LateError(Exception):
    """A function of the caller has not answered in time."""


class Effect(SingleRun):
    """One effect, identified by scope and name."""

    def __init__(
        self,
        store: Committer,
        begin: Callable[[], PlainTransaction],
        scope: str,
        name: str,
        terms: EffectTerms,
    ) -> None:
        """Check the arguments; ``begin`` makes the transaction that ``then`` gets."""
        self._keys = EffectKeys.of(scope, name)
        super().__init__(store, self._keys.done, terms.claim_ttl)
        for what in ("call", "reconcile", "then"):
            function = getattr(terms, what)
            if not callable(function) and (what != "then" or function is not None):
                raise InvalidArgumentError(f"{what} is an async function, not {shown(function)}", key=self.key)
        if terms.then is not None and is_inside(store, asyncio.current_task()):
            raise TransactionError(
                "then= is for an effect on its own. In a transaction or run_once, write with its tx what "
                "depends on the result.",
                key=self.key,
            )
        timeout_ms = check_ttl(terms.timeout, key=self.key)
        if timeout_ms is None:
            raise InvalidArgumentError("timeout is a number of seconds", key=self.key)
        self._begin = begin
        self._terms = terms
        self._timeout = timeout_ms / 1000
        self._ttl_ms = check_ttl(terms.ttl, key=self.key)
        self._note: dict[str, Any] = {"scope": scope, "name": name}
        self._before: bytes | None = None
        self._text = b""

    @property
    def _id(self) -> str:
        return str(self._note["effect"])

    async def _look(self) -> Found:
        while True:
            done, self._before, claim = await self._store._atomic_snapshot(list(self._keys))
            if done is None:
                return Found(None, None if claim is None else self._seen(claim))
            record = decode(done, key=self.key)
            if not isinstance(record, dict) or not {"effect", "result"} <= record.keys():
                raise InvalidValueError(f"{self.key!r} holds no effect; choose another scope", key=self.key)
            if await is_confirmed(self._store, self.key, done):
                return Found((record["result"],))

    def _seen(self, claim: bytes) -> Seen:
        key = self._keys.claim
        return Seen.of(key, claim, decode(claim, key=key), self._claim_ttl_ms)

    async def _lead(self, let_go: Callable[[], None]) -> tuple[Any] | None:
        """Make the effect, or find out what became of it; None if another process is at work on it."""
        claim = Claim(self._store, self._keys.claim, self._claim_ttl_ms)
        self._note_turn()
        if not await self._take(claim):
            return None
        try:
            async with claim.renewed():
                return await self._keep(claim, await self._made(claim))
        except BaseException as error:
            await end(self._store, self._leave(claim, error), error)
            raise

    # --- the note ----------------------------------------------------------------------------------------

    def _note_turn(self) -> None:
        """Note that it is our turn: no other note has the same text."""
        before = {} if self._before is None else read_note(self._before, self._keys.open)
        fresh = {"effect": uuid.uuid4().hex, "at": time.time(), "tries": 0}
        self._note |= {**fresh, **before, "turn": uuid.uuid4().hex}
        self._note["tries"] += 1
        self._text = encode(self._note)

    async def _take(self, claim: Claim) -> bool:
        keys = self._keys
        expectations = (Expect(keys.done, None), Expect(keys.open, self._before), Expect(keys.claim, None))
        commit = Commit(expectations, (Put(keys.open, self._text), claim.put))
        sent = elapsed()
        try:
            outcome = await run_to_end(self._store._atomic_commit(commit))
        except (asyncio.CancelledError, UnknownOutcomeError) as error:
            await end(self._store, self._restore(claim), error)  # it may have been taken, and nothing was called
            raise
        claim.since = sent
        return not isinstance(outcome, Refused)

    async def _restore(self, claim: Claim) -> None:
        before: Write = Delete(self._keys.open) if self._before is None else Put(self._keys.open, self._before)
        await self._note_if_ours(claim, before)

    async def _leave(self, claim: Claim, error: BaseException) -> None:
        """Let the next one ask what became of it, and operators know why it has to."""
        said = redact(f"{type(error).__name__}: {error}")[:_SAID].encode(errors="replace").decode()
        await self._note_if_ours(claim, Put(self._keys.open, encode(self._note | {"said": said})))

    async def _note_if_ours(self, claim: Claim, write: Write) -> None:
        ours = Expect(self._keys.open, self._text)
        with suppress(StorageError):  # "about to be made" is true enough, and the claim ends by itself
            await self._store._atomic_commit(Commit((ours,), (write, Delete(claim.key))))

    # --- the effect --------------------------------------------------------------------------------------

    async def _made(self, claim: Claim) -> Any:
        """Return the result of the effect, made now or before."""
        if self._before is not None:
            found = await self._asked()
            if isinstance(found, Applied):
                return found.result
            if isinstance(found, Unknown):
                raise self._unknown(f"the other system cannot tell ({found.reason or 'no reason was given'})")
        if claim.is_old:
            raise StorageTimeoutError(
                f"{self.key!r}: the claim was not renewed for half of claim_ttl, another process may take over. "
                "Nothing was called; ask again when the store answers in time.",
                key=self.key,
            )
        try:
            return await self._within(self._terms.call)
        except _LateError as error:
            found = await self._asked()
            if isinstance(found, Applied):
                return found.result
            # "Not applied" counts at the next try only: a call that was cut off a moment ago may still arrive.
            raise self._unknown(f"the call took longer than {self._timeout:g} s") from error

    async def _asked(self) -> Reconciled:
        """Return what the other system says about our id."""
        try:
            found = await self._within(self._terms.reconcile)
        except _LateError as error:
            raise self._unknown(f"reconcile took longer than {self._timeout:g} s") from error
        except Exception as error:
            raise self._unknown(f"reconcile raised {type(error).__name__}") from error
        if not isinstance(found, Reconciled):
            raise self._unknown(
                f"reconcile returned {shown(found)}, and neither Applied(…), NotApplied() nor Unknown()"
            )
        return found

    async def _within(self, function: Callable[[str], Awaitable[Any]]) -> Any:
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                return await awaitable(function(self._id))
        except TimeoutError as error:
            if limit.expired():
                raise _LateError from error
            raise

    def _unknown(self, why: str) -> EffectUnknownError:
        return EffectUnknownError(
            f"Whether {self.key!r} was made is not known: {redact(why)}. It is not made again before that is "
            "decided: the next try asks the other system, and `ad-seller-storage effects` shows it to operators.",
            key=self.key,
            effect_id=self._id,
        )

    # --- the result --------------------------------------------------------------------------------------

    async def _keep(self, claim: Claim, result: Any) -> tuple[Any] | None:
        """Commit the result, and what depends on it; None if another process has taken over meanwhile."""
        text = self._store._atomic_encode(made(self._id, result), self.key)
        result = decode(text)["result"]
        writes = (Put(self.key, text, self._ttl_ms), Delete(self._keys.open), Delete(claim.key))
        if self._terms.then is None:
            commit = Commit((Expect(self._keys.open, self._text), Expect(self.key, None)), writes)
            outcome = await run_to_end(self._store._atomic_commit(commit))
            return None if isinstance(outcome, Refused) else (result,)
        return await self._keep_with(self._terms.then, result, writes)

    async def _keep_with(
        self, then: Callable[[Any, Any], Awaitable[object]], result: Any, writes: tuple[Write, ...]
    ) -> tuple[Any] | None:
        ours = Expect(self._keys.open, self._text)

        async def run(transaction: PlainTransaction) -> tuple[Any] | None:
            try:
                async with transaction:
                    await awaitable(then(transaction, result))
                    transaction._include(Expect(self.key, None), writes[0])
                    for write in writes[1:]:
                        transaction._include(ours, write)
            except ConflictError as error:
                if transaction._conflicted and error.key in (self.key, ours.key):
                    return None
                raise
            return (result,)

        return await run_transaction(self._store, self._begin, run, attempts=DEFAULT_ATTEMPTS)
