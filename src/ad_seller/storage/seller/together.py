"""Writes of a seller that belong together: a session and its index, an agent and its URL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..records.expiry import TTL
from .entities import Record
from .indexes import agent_url_key
from .transaction import Transaction


class JointWrites:
    """Several records in one commit, on top of `transact`; mixed into every backend."""

    async def transact(self, work: Callable[[Transaction], Awaitable[Any]]) -> Any:
        """See `StorageBackend.transact`."""
        raise NotImplementedError

    async def save_buyer_session(
        self, session_id: str, data: Record, pricing_key: str, ttl: TTL | None = None
    ) -> None:
        """Store a session and add it to its buyer's index, both or neither; ``ttl`` in seconds."""

        async def save(tx: Transaction) -> None:
            await tx.set_session(session_id, data, ttl)
            await tx.add_session_to_buyer_index(session_id, pricing_key)

        await self.transact(save)

    async def delete_buyer_session(self, session_id: str, pricing_key: str) -> bool:
        """Remove a session and its index entry, both or neither; tell whether there was a session."""

        async def remove(tx: Transaction) -> bool:
            await tx.remove_session_from_buyer_index(session_id, pricing_key)
            return await tx.delete_session(session_id)

        return bool(await self.transact(remove))

    async def register_agent(self, agent_id: str, data: Record, url: str) -> str:
        """Store an agent and lead its URL to it, both or neither; return the id that the URL leads to.

        If the URL already leads to another agent that exists, nothing is written and that agent's id is
        returned: of several registrations of one URL at once, one wins and all learn which.
        """

        async def register(tx: Transaction) -> str:
            known = await tx.get_agent_id_by_url(url)
            if known is not None and known != agent_id and await tx.get_agent(known) is not None:
                return known
            await tx.set_agent(agent_id, data)
            await tx.set(agent_url_key(url), agent_id)
            return agent_id

        return str(await self.transact(register))
