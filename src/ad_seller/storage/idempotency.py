"""A request that is sent several times runs once, and every sender gets the same answer."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from . import process
from .codec import canonical, decode, encode
from .commit import Commit, Delete, Expect, Put, Refused, Touch
from .errors import (
    ConflictError,
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidValueError,
    StorageError,
    shown,
)
from .expiry import check_ttl
from .keys import check_key
from .transaction import Transaction
from .waiting import DEFAULT_ATTEMPTS, backoff

if TYPE_CHECKING:
    from .transaction import Store

IDEMPOTENCY_PREFIX = "idempotency:"
DEFAULT_CLAIM_TTL = 10.0  #: seconds after which the claim of a process that died ends
_POLL = 0.02  #: seconds between two looks at a request that another process runs

Work = Callable[[Transaction], Awaitable[Any]]


class Idempotent:
    """One request, identified by scope and key.

    A claim with a short time to live tells other processes that it is running; it is renewed while ``work``
    runs. The result and all that ``work`` writes are one commit, which expects that claim: whoever lost it
    writes nothing.
    """

    def __init__(self, store: Store, scope: str, key: str, request: Any, ttl: Any, claim_ttl: float) -> None:
        """Check the arguments."""
        for name, part in (("scope", scope), ("key", key)):
            if not isinstance(part, str) or not part:
                raise InvalidArgumentError(
                    f"The {name} of an idempotent request is a non-empty str, not {shown(part)}"
                )
        self._store = store
        self.key = check_key(f"{IDEMPOTENCY_PREFIX}{scope}:{key}")
        self._digest = hashlib.sha256(canonical(request)).hexdigest()
        self._ttl_ms = check_ttl(ttl, key=self.key)
        claim_ttl_ms = check_ttl(claim_ttl, key=self.key)
        if claim_ttl_ms is None:
            raise InvalidArgumentError("claim_ttl is a number of seconds", key=self.key)
        self._claim_ttl_ms = claim_ttl_ms

    async def run(self, work: Work) -> Any:
        """Return the result of ``work``, from this run or from the one that was first."""
        running = process.state_of(self._store).running
        while True:
            [text] = await self._store._snapshot([self.key])
            record = None if text is None else self._checked(decode(text, key=self.key))
            if record is not None and "result" in record:
                return record["result"]
            if self.key in running:
                await asyncio.wait([running[self.key]])
            elif record is not None:
                await asyncio.sleep(_POLL)
            else:
                running[self.key] = asyncio.get_running_loop().create_future()
                try:
                    done, result = await self._lead(work)
                    if done:
                        return result
                finally:
                    running.pop(self.key).set_result(None)

    def _checked(self, record: Any) -> dict[str, Any]:
        if not isinstance(record, dict) or not isinstance(record.get("request"), str):
            raise InvalidValueError(
                f"{self.key!r} holds a record of another form; use another scope or key", key=self.key
            )
        if record["request"] != self._digest:
            raise IdempotencyConflictError(
                f"{self.key!r} was used for another request; a new request needs a new key", key=self.key
            )
        return record

    async def _lead(self, work: Work) -> tuple[bool, Any]:
        """Claim the request and run it; False if another process was faster."""
        claim = encode({"request": self._digest, "claim": uuid.uuid4().hex})
        put = Put(self.key, claim, self._claim_ttl_ms)
        if isinstance(await self._store._commit(Commit((Expect(self.key, None),), (put,))), Refused):
            return False, None
        try:
            async with self._renewed(claim):
                for attempt in range(DEFAULT_ATTEMPTS):
                    done, text = await self._attempt(work, claim)
                    if done:
                        return text is not None, None if text is None else decode(text)["result"]
                    await backoff(attempt)
        except BaseException:
            await process.run_to_end(self._give_up(claim))
            raise
        await self._give_up(claim)
        raise ConflictError(
            f"{self.key!r}: what the request reads was changed by others {DEFAULT_ATTEMPTS} times in a row; "
            "nothing was written. Try again later.",
            key=self.key,
        )

    async def _attempt(self, work: Work, claim: bytes) -> tuple[bool, bytes | None]:
        """Run ``work`` once: (True, the record), (True, None) if the claim was lost, (False, None) to try again."""
        transaction = Transaction(self._store)
        try:
            async with transaction:
                result = await work(transaction)
                text = self._store._encode({"request": self._digest, "result": result}, self.key)
                transaction.include(Expect(self.key, claim), Put(self.key, text, self._ttl_ms))
        except ConflictError as error:
            if not transaction.conflicted:
                raise
            return error.key == self.key, None
        return True, text

    async def _give_up(self, claim: bytes) -> None:
        with suppress(StorageError):  # the claim also ends by itself
            await self._store._commit(Commit((Expect(self.key, claim),), (Delete(self.key),)))

    @asynccontextmanager
    async def _renewed(self, claim: bytes) -> AsyncIterator[None]:
        """Keep the claim while the block runs; if that fails, the commit will notice."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._claim_ttl_ms / 3000)
                try:
                    await self._store._commit(
                        Commit((Expect(self.key, claim),), (Touch(self.key, self._claim_ttl_ms),))
                    )
                except StorageError:
                    continue

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
