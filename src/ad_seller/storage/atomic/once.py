"""Requests that run once, and effects outside the store that are made once.

What does the work is imported by the first that asks for it: all backends have these methods, and few use them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UnsupportedError
from ..records.expiry import TTL
from .expiring import DEFAULT_CLAIM_TTL
from .operations import AtomicOperations

if TYPE_CHECKING:
    from ..capabilities import Capabilities
    from .idempotency import Answer, InFlight
    from .open_effects import OpenEffect
    from .outcomes import Applied, NotApplied, Reconciled
    from .transaction import PlainTransaction

WEEK = 7 * 86_400  #: seconds

Tx = TypeVar("Tx", bound="PlainTransaction")
T = TypeVar("T")


class OnceOperations(AtomicOperations[Tx]):
    """What happens once, however often it is asked for; mixed into every backend."""

    if TYPE_CHECKING:

        @property
        def capabilities(self) -> Capabilities:  # noqa: D102 - in `StorageBackend`
            ...

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
        from .idempotency import Idempotent, Terms

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
        from .idempotency import Answer, Idempotent, Terms

        terms = Terms(ttl, claim_ttl, legacy, in_flight, max_seconds, remember_expired)
        run = Idempotent(self, self._new_transaction, scope, key, request, work, terms)
        return Answer.of(*await run.answer())

    async def effect(
        self,
        scope: str,
        name: str,
        call: Callable[[str], Awaitable[T]],
        *,
        reconcile: Callable[[str], Awaitable[Reconciled]],
        timeout: float = 30.0,
        then: Callable[[Tx, T], Awaitable[object]] | None = None,
        ttl: TTL | None = WEEK,
        claim_ttl: float = DEFAULT_CLAIM_TTL,
    ) -> T:
        """Make an effect in another system once, whoever dies when, and return its result.

        A note "about to be made" is committed, then ``call`` runs, then its result is committed. Who finds a note
        that nobody is at work on asks ``reconcile``. Usable on its own and in the work of `run_once`, several in
        their order: what was made is known to the next try.

        Args:
            scope: what the effect belongs to, e.g. ``book:{buyer}:{key}``.
            name: what it is called there, e.g. ``order``.
            call: an async function of the effect's id that does it and returns a JSON value. Let the other system
                keep the id, as its own idempotency key where it has one.
            reconcile: an async function of the id that asks the other system, and returns `Applied` with the
                result, `NotApplied` (it is made then) or `Unknown` (nobody makes it).
            timeout: seconds that ``call`` and ``reconcile`` may take, each. After that the effect is unknown.
            then: an async function of a transaction and the result; what it writes is in the commit of the result.
                Only for an effect on its own: in `run_once` the work writes what depends on the result.
            ttl: seconds that the result is remembered, None for ever; longer than the effect may be asked for. An
                effect that is not known stays until it is decided.
            claim_ttl: seconds after which another process may go on where one died.

        Raises:
            EffectUnknownError: nobody knows whether it was made; the next try asks again, an operator may decide.
            InvalidValueError: JSON cannot carry the result; the next try asks ``reconcile`` for one.
            UnsupportedError: the backend is atomic within one process only.
        """
        from .effects import Effect, EffectTerms

        self._check_effects()
        terms = EffectTerms(call, reconcile, then, timeout, ttl, claim_ttl)
        result: T = (await Effect(self, self._new_transaction, scope, name, terms).answer())[0]
        return result

    async def open_effects(self) -> list[OpenEffect]:
        """Return the effects that are being made, and those of which nobody knows, the oldest first."""
        from .open_effects import open_effects

        return await open_effects(self)

    async def resolve_effect(
        self, scope: str, name: str, outcome: Applied | NotApplied, ttl: TTL | None = WEEK
    ) -> bool:
        """Decide what became of an effect of which nobody knows; tell whether there is one.

        Args:
            scope: what the effect belongs to.
            name: what it is called there.
            outcome: `Applied` with the result that the next try gets, or `NotApplied`: the next try makes it.
            ttl: seconds that the result is remembered; None for ever.

        Raises:
            InFlightError: somebody is at work on it.
        """
        from .open_effects import resolve_effect

        self._check_effects()
        return await resolve_effect(self, scope, name, outcome, ttl)

    def _check_effects(self) -> None:
        if self.capabilities.atomic != "store":
            raise UnsupportedError(
                f"{type(self).__name__} is atomic within one process only (capabilities.atomic), and an effect "
                "is made once only if all processes that may repeat it see the same note. Use SQLite, PostgreSQL "
                "or Redis."
            )
