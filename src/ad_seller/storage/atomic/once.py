"""Requests that run once, and effects outside the store that are made once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..records.expiry import TTL
from .claims import DEFAULT_CLAIM_TTL
from .idempotency import Answer, Idempotent, InFlight, Terms
from .operations import AtomicOperations
from .transaction import PlainTransaction

Tx = TypeVar("Tx", bound=PlainTransaction)
T = TypeVar("T")


class OnceOperations(AtomicOperations[Tx]):
    """What happens once, however often it is asked for; mixed into every backend."""

    async def run_once(
        self,
        scope: str,
        key: str,
        request: Any,
        work: Callable[[Tx], Awaitable[T]],
        ttl: TTL | None = 86_400,
        *,
        claim_ttl: float = DEFAULT_CLAIM_TTL,
        legacy: Callable[[Any], Any] | None = None,
        in_flight: InFlight = "wait",
        max_seconds: float | None = None,
        remember_expired: TTL | None = None,
    ) -> T:
        """Answer a request that may come several times: ``work`` takes effect once, everyone gets its result.

        The result and everything that ``work`` writes are one commit. The record lives under
        ``idempotency:{scope}:{key}``, with ``%`` and ``:`` of the key escaped, so that no two pairs share one. If
        ``work`` raises, nothing is recorded and the next sender runs it.

        Args:
            scope: what the key belongs to, e.g. ``quote:{buyer}``.
            key: the sender's idempotency key.
            request: the request as a JSON value; a repeat must be equal.
            work: an async function of a transaction; returns a JSON value. It runs again if what it reads is
                changed by others before its commit.
            ttl: seconds that the result is remembered; None for ever.
            claim_ttl: seconds after which another process may take over from one that died.
            legacy: makes the result of a record that an older agent wrote in a form of its own, for instance
                ``lambda old: old["deal_id"]``; without it such a record is an `InvalidValueError`.
            in_flight: what a repeat does while the request runs: "wait" for the answer, or "raise".
            max_seconds: seconds after which a repeat may run the request although the process that has it lives;
                what that one commits later is refused. None: as long as it lives.
            remember_expired: seconds that the use of the key is remembered after the result is not; None: not at
                all. All who use the scope give the same.

        Raises:
            IdempotencyConflictError: the key came with another request.
            IdempotencyExpiredError: the key was used, and the result is no longer remembered; nothing was run.
            InFlightError: the request runs, and ``in_flight`` is "raise".
            ConflictError: others changed what ``work`` reads each time; nothing was written.
        """
        terms = Terms(ttl, claim_ttl, legacy, in_flight, max_seconds, remember_expired)
        record, _ = await Idempotent(self, self._new_transaction, scope, key, request, work, terms).answer()
        result: T = record["result"]
        return result

    async def run_once_detailed(
        self,
        scope: str,
        key: str,
        request: Any,
        work: Callable[[Tx], Awaitable[T]],
        ttl: TTL | None = 86_400,
        *,
        claim_ttl: float = DEFAULT_CLAIM_TTL,
        legacy: Callable[[Any], Any] | None = None,
        in_flight: InFlight = "wait",
        max_seconds: float | None = None,
        remember_expired: TTL | None = None,
    ) -> Answer[T]:
        """Do what `run_once` does, and tell whether the answer is a repeat, and when it was first given.

        Args:
            scope: see `run_once`, as for all of these.
            key: the sender's idempotency key.
            request: the request as a JSON value.
            work: an async function of a transaction.
            ttl: seconds that the result is remembered; None for ever.
            claim_ttl: seconds after which another process may take over from one that died.
            legacy: makes the result of a record of an older agent.
            in_flight: "wait" or "raise".
            max_seconds: seconds after which a repeat may take over from a process that lives.
            remember_expired: seconds that the use of the key is remembered after the result is not.

        Raises:
            IdempotencyConflictError: the key came with another request.
            IdempotencyExpiredError: the key was used, and the result is no longer remembered; nothing was run.
            InFlightError: the request runs, and ``in_flight`` is "raise".
            ConflictError: others changed what ``work`` reads each time; nothing was written.
        """
        terms = Terms(ttl, claim_ttl, legacy, in_flight, max_seconds, remember_expired)
        run = Idempotent(self, self._new_transaction, scope, key, request, work, terms)
        return Answer.of(*await run.answer())
