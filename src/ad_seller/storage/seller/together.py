"""Writes of a seller that belong together: a session and its index, an agent and its URL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..records.expiry import TTL
from .access import Record, entity_key
from .host import Host
from .kinds import AGENT_URL_INDEX_PREFIX
from .urls import agent_url_keys

if TYPE_CHECKING:
    from .transaction import Transaction


class JointWrites(Host):
    """Several records in one commit, on top of `transact`; mixed into every backend."""

    async def transact(self, work: Callable[[Transaction], Awaitable[Any]]) -> Any:
        """See `StorageBackend.transact`."""
        raise NotImplementedError

    async def _in_transaction(self, work: Callable[[Host], Awaitable[Any]]) -> Any:
        return await self.transact(work)

    async def save_buyer_session(
        self, session_id: str, session_data: Record, buyer_pricing_key: str, ttl: TTL | None = None
    ) -> None:
        """Store a session and add it to its buyer's index, both or neither; ``ttl`` in seconds.

        The ids of sessions that are gone leave the index in the same commit.
        """

        async def save(tx: Transaction) -> None:
            await tx.set_session(session_id, session_data, ttl)
            await tx.add_session_to_buyer_index(session_id, buyer_pricing_key)

        await self.transact(save)

    async def delete_buyer_session(self, session_id: str, buyer_pricing_key: str) -> bool:
        """Remove a session and its index entry, both or neither; tell whether there was a session."""

        async def remove(tx: Transaction) -> bool:
            await tx.remove_session_from_buyer_index(session_id, buyer_pricing_key)
            return await tx.delete_session(session_id)

        return bool(await self.transact(remove))

    async def register_agent(self, agent_id: str, agent_data: Record, url: str) -> str:
        """Store an agent and lead its URL to it, both or neither; return the id that the URL leads to.

        If the URL, in whichever form, already leads to another agent that exists, nothing is written and that
        agent's id is returned: of several registrations of one URL at once, one wins and all learn which.
        """
        one_form, as_given, *_ = [*agent_url_keys(url), ""]

        async def register(tx: Transaction) -> str:
            known = await tx.get_agent_id_by_url(url)
            if known is not None and known != agent_id:
                return known
            await tx.set_agent(agent_id, agent_data)
            await tx.set(one_form, agent_id)
            if as_given == AGENT_URL_INDEX_PREFIX + url:  # where an older agent would look after a roll-back
                await tx.set(as_given, agent_id)
            return agent_id

        return str(await self.transact(register))

    async def unregister_agent(self, agent_id: str) -> bool:
        """Remove an agent and every URL that leads to it, in one commit; tell whether there was one.

        It reads the whole index of URLs first.
        """
        agent = entity_key("agent", agent_id)
        index = await self.scan(f"{AGENT_URL_INDEX_PREFIX}*", on_corrupt=lambda error: None)
        urls = [key for key, target in index.items if target == agent_id]

        async def unregister(tx: Transaction) -> bool:
            for key in urls:
                if await tx.get(key) == agent_id:
                    await tx.delete(key)
            return await tx.delete(agent)

        return bool(await self.transact(unregister))
