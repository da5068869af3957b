"""Made by `python -m tests.sync.generate` from `JointWrites`; not to be edited."""

from __future__ import annotations

from ad_seller.storage import TTL, Record, StorageBackend

from ..handover import Methods


class JointMethods(Methods[StorageBackend]):
    """The methods of `JointWrites` without await."""

    def save_buyer_session(
        self, session_id: str, session_data: Record, buyer_pricing_key: str, ttl: TTL | None = None
    ) -> None:
        """Store a session and add it to its buyer's index, both or neither; ``ttl`` in seconds."""
        return self._run(self._inner.save_buyer_session, session_id, session_data, buyer_pricing_key, ttl)

    def delete_buyer_session(self, session_id: str, buyer_pricing_key: str) -> bool:
        """Remove a session and its index entry, both or neither; tell whether there was a session."""
        return self._run(self._inner.delete_buyer_session, session_id, buyer_pricing_key)

    def register_agent(self, agent_id: str, agent_data: Record, url: str) -> str:
        """Store an agent and lead its URL to it, both or neither; return the id that the URL leads to."""
        return self._run(self._inner.register_agent, agent_id, agent_data, url)

    def unregister_agent(self, agent_id: str) -> bool:
        """Remove an agent and every URL that leads to it, in one commit; tell whether there was one."""
        return self._run(self._inner.unregister_agent, agent_id)
