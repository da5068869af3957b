"""Made by `python -m tests.sync.generate` from `EntityHelpers`; not to be edited."""

from __future__ import annotations

from typing import Any

from ad_seller.storage import KEEP, TTL, ChangeRequestFilters, NewTTL, OnCorrupt, OrderFilters, Record, RecordChange

from ..handover import Inner, Methods, in_loop, reported


class EntityMethods(Methods[Inner]):
    """The methods of `EntityHelpers` without await."""

    def get_deal(self, deal_id: str) -> Record | None:
        """Return the executed deal, or None."""
        return self._read(self._inner.get_deal, deal_id)

    def set_deal(self, deal_id: str, deal_data: Record) -> None:
        """Store the executed deal."""
        return self._run(self._inner.set_deal, deal_id, deal_data)

    def delete_deal(self, deal_id: str) -> bool:
        """Remove the executed deal; tell whether there was one."""
        return self._run(self._inner.delete_deal, deal_id)

    def update_deal(
        self, deal_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the executed deal by ``change(current)``; see `update`."""
        return self._run(self._inner.update_deal, deal_id, in_loop(change), start=start, ttl=ttl)

    def list_deals(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all executed deals."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_deals, limit=limit, reverse=reverse, on_corrupt=report)

    def get_session(self, session_id: str) -> Record | None:
        """Return the buyer conversation session, or None."""
        return self._read(self._inner.get_session, session_id)

    def set_session(self, session_id: str, session_data: Record, ttl: TTL | None = None) -> None:
        """Store the buyer conversation session; ``ttl`` in seconds, None for no expiry."""
        return self._run(self._inner.set_session, session_id, session_data, ttl)

    def delete_session(self, session_id: str) -> bool:
        """Remove the buyer conversation session; tell whether there was one."""
        return self._run(self._inner.delete_session, session_id)

    def update_session(
        self, session_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the buyer conversation session by ``change(current)``; see `update`."""
        return self._run(self._inner.update_session, session_id, in_loop(change), start=start, ttl=ttl)

    def list_sessions(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all buyer conversation sessions."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_sessions, limit=limit, reverse=reverse, on_corrupt=report)

    def get_order(self, order_id: str) -> Record | None:
        """Return the order, or None."""
        return self._read(self._inner.get_order, order_id)

    def set_order(self, order_id: str, order_data: Record) -> None:
        """Store the order."""
        return self._run(self._inner.set_order, order_id, order_data)

    def delete_order(self, order_id: str) -> bool:
        """Remove the order; tell whether there was one."""
        return self._run(self._inner.delete_order, order_id)

    def update_order(
        self, order_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the order by ``change(current)``; see `update`."""
        return self._run(self._inner.update_order, order_id, in_loop(change), start=start, ttl=ttl)

    def list_orders(
        self,
        filters: OrderFilters | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> list[Record]:
        """Return the orders that match ``filters`` on ``status``."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_orders, filters, limit=limit, reverse=reverse, on_corrupt=report)

    def get_change_request(self, cr_id: str) -> Record | None:
        """Return the post-deal change request, or None."""
        return self._read(self._inner.get_change_request, cr_id)

    def set_change_request(self, cr_id: str, cr_data: Record) -> None:
        """Store the post-deal change request."""
        return self._run(self._inner.set_change_request, cr_id, cr_data)

    def delete_change_request(self, cr_id: str) -> bool:
        """Remove the post-deal change request; tell whether there was one."""
        return self._run(self._inner.delete_change_request, cr_id)

    def update_change_request(
        self, cr_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the post-deal change request by ``change(current)``; see `update`."""
        return self._run(self._inner.update_change_request, cr_id, in_loop(change), start=start, ttl=ttl)

    def list_change_requests(
        self,
        filters: ChangeRequestFilters | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> list[Record]:
        """Return the post-deal change requests that match ``filters`` on ``order_id`` and ``status``."""
        with reported(on_corrupt) as report:
            return self._run(
                self._inner.list_change_requests, filters, limit=limit, reverse=reverse, on_corrupt=report
            )

    def get_negotiation(self, proposal_id: str) -> Record | None:
        """Return the negotiation history of a proposal, or None."""
        return self._read(self._inner.get_negotiation, proposal_id)

    def set_negotiation(self, proposal_id: str, data: Record) -> None:
        """Store the negotiation history of a proposal."""
        return self._run(self._inner.set_negotiation, proposal_id, data)

    def delete_negotiation(self, proposal_id: str) -> bool:
        """Remove the negotiation history of a proposal; tell whether there was one."""
        return self._run(self._inner.delete_negotiation, proposal_id)

    def update_negotiation(
        self, proposal_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the negotiation history of a proposal by ``change(current)``; see `update`."""
        return self._run(self._inner.update_negotiation, proposal_id, in_loop(change), start=start, ttl=ttl)

    def list_negotiations(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all negotiation histories."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_negotiations, limit=limit, reverse=reverse, on_corrupt=report)

    def get_agent(self, agent_id: str) -> Record | None:
        """Return the registered buyer agent, or None."""
        return self._read(self._inner.get_agent, agent_id)

    def set_agent(self, agent_id: str, agent_data: Record) -> None:
        """Store the registered buyer agent."""
        return self._run(self._inner.set_agent, agent_id, agent_data)

    def delete_agent(self, agent_id: str) -> bool:
        """Remove the registered buyer agent; tell whether there was one."""
        return self._run(self._inner.delete_agent, agent_id)

    def update_agent(
        self, agent_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the registered buyer agent by ``change(current)``; see `update`."""
        return self._run(self._inner.update_agent, agent_id, in_loop(change), start=start, ttl=ttl)

    def list_agents(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all registered buyer agents."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_agents, limit=limit, reverse=reverse, on_corrupt=report)
