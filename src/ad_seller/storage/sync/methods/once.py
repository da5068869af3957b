"""Made by `python -m tests.sync.generate` from `OnceOperations`; not to be edited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from ad_seller.storage import TTL, Answer, Applied, InFlight, NotApplied, OpenEffect, Reconciled, StorageBackend

from ..handover import Methods, in_loop

T = TypeVar("T")
Tx = TypeVar("Tx")


class OnceMethods(Methods[StorageBackend], Generic[Tx]):
    """The methods of `OnceOperations` without await."""

    def _in_thread(self, work: Callable[..., T]) -> Callable[..., Awaitable[T]]:
        raise NotImplementedError

    def _call_in_thread(self, call: Callable[[str], T]) -> Callable[[str], Awaitable[T]]:
        raise NotImplementedError

    def run_once(
        self,
        scope: str,
        key: str,
        request: Any,
        work: Callable[[Tx], T],
        ttl: TTL | None = 86400,
        *,
        claim_ttl: float = 10.0,
        legacy: Callable[[Any], Any] | None = None,
        in_flight: InFlight = "wait",
        max_seconds: float | None = None,
        remember_expired: TTL | None = None,
    ) -> T:
        """Answer a request that may come several times: ``work`` takes effect once, everyone gets its result."""
        return self._run(
            self._inner.run_once,
            scope,
            key,
            request,
            self._in_thread(work),
            ttl,
            claim_ttl=claim_ttl,
            legacy=legacy and in_loop(legacy),
            in_flight=in_flight,
            max_seconds=max_seconds,
            remember_expired=remember_expired,
        )

    def run_once_detailed(
        self,
        scope: str,
        key: str,
        request: Any,
        work: Callable[[Tx], T],
        ttl: TTL | None = 86400,
        *,
        claim_ttl: float = 10.0,
        legacy: Callable[[Any], Any] | None = None,
        in_flight: InFlight = "wait",
        max_seconds: float | None = None,
        remember_expired: TTL | None = None,
    ) -> Answer[T]:
        """Do what `run_once` does, and tell whether the answer is a repeat, and when it was first given."""
        return self._run(
            self._inner.run_once_detailed,
            scope,
            key,
            request,
            self._in_thread(work),
            ttl,
            claim_ttl=claim_ttl,
            legacy=legacy and in_loop(legacy),
            in_flight=in_flight,
            max_seconds=max_seconds,
            remember_expired=remember_expired,
        )

    def effect(
        self,
        scope: str,
        name: str,
        call: Callable[[str], T],
        *,
        reconcile: Callable[[str], Reconciled],
        timeout: float = 30.0,
        then: Callable[[Tx, T], object] | None = None,
        ttl: TTL | None = 604800,
        claim_ttl: float = 10.0,
    ) -> T:
        """Make an effect in another system once, whoever dies when, and return its result."""
        return self._run(
            self._inner.effect,
            scope,
            name,
            self._call_in_thread(call),
            reconcile=self._call_in_thread(reconcile),
            timeout=timeout,
            then=then and self._in_thread(then),
            ttl=ttl,
            claim_ttl=claim_ttl,
        )

    def open_effects(self) -> list[OpenEffect]:
        """Return the effects that are being made, and those of which nobody knows, the oldest first."""
        return self._run(self._inner.open_effects)

    def resolve_effect(
        self, scope: str, name: str, outcome: Applied | NotApplied, ttl: TTL | None = 604800
    ) -> bool:
        """Decide what became of an effect of which nobody knows; tell whether there is one."""
        return self._run(self._inner.resolve_effect, scope, name, outcome, ttl)
