"""Made by `python -m tests.sync.generate` from `LifecycleHelpers`; not to be edited."""

from __future__ import annotations

from ad_seller.storage import CHANGE_REQUEST_LIFECYCLE, ORDER_LIFECYCLE, Lifecycle, Record

from ..handover import Inner, Methods


class LifecycleMethods(Methods[Inner]):
    """The methods of `LifecycleHelpers` without await."""

    def transition_order(
        self,
        order_id: str,
        to: str,
        *,
        actor: str,
        reason: str = "",
        expect: str | None = None,
        metadata: Record | None = None,
        lifecycle: Lifecycle = ORDER_LIFECYCLE,
    ) -> Record:
        """Take an order to another status and append the audit entry, in one commit; return the order."""
        return self._run(
            self._inner.transition_order,
            order_id,
            to,
            actor=actor,
            reason=reason,
            expect=expect,
            metadata=metadata,
            lifecycle=lifecycle,
        )

    def transition_change_request(
        self,
        change_request_id: str,
        to: str,
        *,
        actor: str,
        reason: str = "",
        expect: str | None = None,
        metadata: Record | None = None,
        lifecycle: Lifecycle = CHANGE_REQUEST_LIFECYCLE,
    ) -> Record:
        """Take a change request to another status; see `transition_order`."""
        return self._run(
            self._inner.transition_change_request,
            change_request_id,
            to,
            actor=actor,
            reason=reason,
            expect=expect,
            metadata=metadata,
            lifecycle=lifecycle,
        )

    def history(self, order_id: str) -> list[Record]:
        """Return the audit entries of an order, oldest first."""
        return self._read(self._inner.history, order_id)

    def change_request_history(self, change_request_id: str) -> list[Record]:
        """Return the audit entries of a change request, oldest first; raises as `history` does."""
        return self._read(self._inner.change_request_history, change_request_id)
