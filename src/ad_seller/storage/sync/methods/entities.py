"""Made by `python -m tests.sync.generate` from `EntityHelpers`; not to be edited."""

from __future__ import annotations

from typing import Any

from ad_seller.storage import (
    KEEP,
    TTL,
    ChangeRequestFilters,
    NewTTL,
    OnCorrupt,
    OrderFilters,
    QuoteFilters,
    Record,
    RecordChange,
)

from ..handover import Inner, Methods, in_loop, reported


class EntityMethods(Methods[Inner]):
    """The methods of `EntityHelpers` without await."""

    def get_product(self, product_id: str) -> Record | None:
        """Return the product catalogue entry, or None."""
        return self._read(self._inner.get_product, product_id)

    def set_product(self, product_id: str, product_data: Record) -> None:
        """Store the product catalogue entry."""
        return self._run(self._inner.set_product, product_id, product_data)

    def delete_product(self, product_id: str) -> bool:
        """Remove the product catalogue entry; tell whether there was one."""
        return self._run(self._inner.delete_product, product_id)

    def update_product(
        self, product_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the product catalogue entry by ``change(current)``; see `update`."""
        return self._run(self._inner.update_product, product_id, in_loop(change), start=start, ttl=ttl)

    def list_products(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all product catalogue entries."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_products, limit=limit, reverse=reverse, on_corrupt=report)

    def get_proposal(self, proposal_id: str) -> Record | None:
        """Return the buyer proposal, or None."""
        return self._read(self._inner.get_proposal, proposal_id)

    def set_proposal(self, proposal_id: str, proposal_data: Record) -> None:
        """Store the buyer proposal."""
        return self._run(self._inner.set_proposal, proposal_id, proposal_data)

    def delete_proposal(self, proposal_id: str) -> bool:
        """Remove the buyer proposal; tell whether there was one."""
        return self._run(self._inner.delete_proposal, proposal_id)

    def update_proposal(
        self, proposal_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the buyer proposal by ``change(current)``; see `update`."""
        return self._run(self._inner.update_proposal, proposal_id, in_loop(change), start=start, ttl=ttl)

    def list_proposals(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all buyer proposals."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_proposals, limit=limit, reverse=reverse, on_corrupt=report)

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

    def get_quote(self, quote_id: str) -> Record | None:
        """Return the price quote, or None."""
        return self._read(self._inner.get_quote, quote_id)

    def set_quote(self, quote_id: str, quote_data: Record, ttl: TTL | None = 86400) -> None:
        """Store the price quote; ``ttl`` in seconds, 24 h unless given, None for no expiry."""
        return self._run(self._inner.set_quote, quote_id, quote_data, ttl)

    def delete_quote(self, quote_id: str) -> bool:
        """Remove the price quote; tell whether there was one."""
        return self._run(self._inner.delete_quote, quote_id)

    def update_quote(
        self, quote_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the price quote by ``change(current)``; see `update`."""
        return self._run(self._inner.update_quote, quote_id, in_loop(change), start=start, ttl=ttl)

    def list_quotes(
        self,
        filters: QuoteFilters | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> list[Record]:
        """Return the price quotes that match ``filters`` on ``status``, ``buyer_id`` and ``product_id``."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_quotes, filters, limit=limit, reverse=reverse, on_corrupt=report)

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

    def get_package(self, package_id: str) -> Record | None:
        """Return the media kit package, or None."""
        return self._read(self._inner.get_package, package_id)

    def set_package(self, package_id: str, package_data: Record) -> None:
        """Store the media kit package."""
        return self._run(self._inner.set_package, package_id, package_data)

    def delete_package(self, package_id: str) -> bool:
        """Remove the media kit package; tell whether there was one."""
        return self._run(self._inner.delete_package, package_id)

    def update_package(
        self, package_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the media kit package by ``change(current)``; see `update`."""
        return self._run(self._inner.update_package, package_id, in_loop(change), start=start, ttl=ttl)

    def list_packages(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all media kit packages."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_packages, limit=limit, reverse=reverse, on_corrupt=report)

    def get_media_kit(self, seller_org_id: str) -> Record | None:
        """Return the media kit metadata of a seller organisation, or None."""
        return self._read(self._inner.get_media_kit, seller_org_id)

    def set_media_kit(self, seller_org_id: str, data: Record) -> None:
        """Store the media kit metadata of a seller organisation."""
        return self._run(self._inner.set_media_kit, seller_org_id, data)

    def delete_media_kit(self, seller_org_id: str) -> bool:
        """Remove the media kit metadata of a seller organisation; tell whether there was one."""
        return self._run(self._inner.delete_media_kit, seller_org_id)

    def update_media_kit(
        self, seller_org_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the media kit metadata of a seller organisation by ``change(current)``; see `update`."""
        return self._run(self._inner.update_media_kit, seller_org_id, in_loop(change), start=start, ttl=ttl)

    def list_media_kits(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all media kits."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.list_media_kits, limit=limit, reverse=reverse, on_corrupt=report)
