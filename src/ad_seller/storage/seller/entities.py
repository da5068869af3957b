"""A helper for every kind of record that a seller agent keeps, written out for editors and type checkers.

The key of a record is its prefix and its id, e.g. ``order:ORD-A1B2C3D4E5F6``. For each kind: ``get_x`` returns
the record or None, ``set_x`` stores it, ``delete_x`` tells whether there was one, ``update_x`` changes it
without losing what others write (see `update`), and ``list_xs`` returns all of them in the order of their keys.
A record is a dict: anything else is refused before any I/O. ``update_x`` of a record that is not there raises
`MissingKeyError`, unless ``start`` says what the change begins with.
``limit`` gives the first so many records, and ``reverse`` begins with the greatest key: with ids of `new_id` the
newest. ``on_corrupt`` is called with the error of each record that cannot be decoded, which is then left out;
without it, the error is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..records.expiry import TTL
from ..records.markers import KEEP
from .access import NewTTL, Record, RecordChange, entity_key, list_records, record_of, update_record
from .kinds import ChangeRequestFilters, OrderFilters, conditions
from .offers import OfferHelpers

if TYPE_CHECKING:
    from ..records.pages import OnCorrupt


class EntityHelpers(OfferHelpers):
    """Records by id, on top of get, set, delete, scan and update."""

    # --- deals -------------------------------------------------------------------------------------

    async def get_deal(self, deal_id: str) -> Record | None:
        """Return the executed deal, or None."""
        return await self.get(entity_key("deal", deal_id))

    async def set_deal(self, deal_id: str, deal_data: Record) -> None:
        """Store the executed deal."""
        await self.set(*record_of("deal", deal_id, deal_data))

    async def delete_deal(self, deal_id: str) -> bool:
        """Remove the executed deal; tell whether there was one."""
        return await self.delete(entity_key("deal", deal_id))

    async def update_deal(
        self, deal_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the executed deal by ``change(current)``; see `update`."""
        return await update_record(self, "deal", deal_id, change, start, ttl)

    async def list_deals(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all executed deals."""
        return await list_records(self, "deal", limit, reverse, on_corrupt)

    # --- sessions ----------------------------------------------------------------------------------

    async def get_session(self, session_id: str) -> Record | None:
        """Return the buyer conversation session, or None."""
        return await self.get(entity_key("session", session_id))

    async def set_session(self, session_id: str, session_data: Record, ttl: TTL | None = None) -> None:
        """Store the buyer conversation session; ``ttl`` in seconds, None for no expiry."""
        await self.set(*record_of("session", session_id, session_data), ttl)

    async def delete_session(self, session_id: str) -> bool:
        """Remove the buyer conversation session; tell whether there was one."""
        return await self.delete(entity_key("session", session_id))

    async def update_session(
        self, session_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the buyer conversation session by ``change(current)``; see `update`."""
        return await update_record(self, "session", session_id, change, start, ttl)

    async def list_sessions(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all buyer conversation sessions."""
        return await list_records(self, "session", limit, reverse, on_corrupt)

    # --- orders ------------------------------------------------------------------------------------

    async def get_order(self, order_id: str) -> Record | None:
        """Return the order, or None."""
        return await self.get(entity_key("order", order_id))

    async def set_order(self, order_id: str, order_data: Record) -> None:
        """Store the order."""
        await self.set(*record_of("order", order_id, order_data))

    async def delete_order(self, order_id: str) -> bool:
        """Remove the order; tell whether there was one."""
        return await self.delete(entity_key("order", order_id))

    async def update_order(
        self, order_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the order by ``change(current)``; see `update`."""
        return await update_record(self, "order", order_id, change, start, ttl)

    async def list_orders(
        self,
        filters: OrderFilters | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> list[Record]:
        """Return the orders that match ``filters`` on ``status``."""
        return await list_records(self, "order", limit, reverse, on_corrupt, conditions("order", filters))

    # --- change requests ---------------------------------------------------------------------------

    async def get_change_request(self, cr_id: str) -> Record | None:
        """Return the post-deal change request, or None."""
        return await self.get(entity_key("change_request", cr_id))

    async def set_change_request(self, cr_id: str, cr_data: Record) -> None:
        """Store the post-deal change request."""
        await self.set(*record_of("change_request", cr_id, cr_data))

    async def delete_change_request(self, cr_id: str) -> bool:
        """Remove the post-deal change request; tell whether there was one."""
        return await self.delete(entity_key("change_request", cr_id))

    async def update_change_request(
        self, cr_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the post-deal change request by ``change(current)``; see `update`."""
        return await update_record(self, "change_request", cr_id, change, start, ttl)

    async def list_change_requests(
        self,
        filters: ChangeRequestFilters | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt = None,
    ) -> list[Record]:
        """Return the post-deal change requests that match ``filters`` on ``order_id`` and ``status``."""
        return await list_records(
            self, "change_request", limit, reverse, on_corrupt, conditions("change_request", filters)
        )

    # --- negotiations ------------------------------------------------------------------------------

    async def get_negotiation(self, proposal_id: str) -> Record | None:
        """Return the negotiation history of a proposal, or None."""
        return await self.get(entity_key("negotiation", proposal_id))

    async def set_negotiation(self, proposal_id: str, data: Record) -> None:
        """Store the negotiation history of a proposal."""
        await self.set(*record_of("negotiation", proposal_id, data))

    async def delete_negotiation(self, proposal_id: str) -> bool:
        """Remove the negotiation history of a proposal; tell whether there was one."""
        return await self.delete(entity_key("negotiation", proposal_id))

    async def update_negotiation(
        self, proposal_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the negotiation history of a proposal by ``change(current)``; see `update`."""
        return await update_record(self, "negotiation", proposal_id, change, start, ttl)

    async def list_negotiations(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all negotiation histories."""
        return await list_records(self, "negotiation", limit, reverse, on_corrupt)

    # --- agents ------------------------------------------------------------------------------------

    async def get_agent(self, agent_id: str) -> Record | None:
        """Return the registered buyer agent, or None."""
        return await self.get(entity_key("agent", agent_id))

    async def set_agent(self, agent_id: str, agent_data: Record) -> None:
        """Store the registered buyer agent."""
        await self.set(*record_of("agent", agent_id, agent_data))

    async def delete_agent(self, agent_id: str) -> bool:
        """Remove the registered buyer agent; tell whether there was one."""
        return await self.delete(entity_key("agent", agent_id))

    async def update_agent(
        self, agent_id: str, change: RecordChange, *, start: Record | None = None, ttl: NewTTL = KEEP
    ) -> Any:
        """Replace the registered buyer agent by ``change(current)``; see `update`."""
        return await update_record(self, "agent", agent_id, change, start, ttl)

    async def list_agents(
        self, *, limit: int | None = None, reverse: bool = False, on_corrupt: OnCorrupt = None
    ) -> list[Record]:
        """Return all registered buyer agents."""
        return await list_records(self, "agent", limit, reverse, on_corrupt)
