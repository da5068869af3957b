"""The two indexes that seller agents keep beside their records: a buyer's sessions, and agents by URL."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..errors import CrossStoreError, InvalidValueError
from ..records.markers import LEAVE
from ..records.pages import OnCorrupt
from .access import check_id, entity_key
from .host import Host
from .kinds import PREFIXES, SESSION_INDEX_PREFIX
from .urls import agent_url_keys


class IndexHelpers(Host):
    """Index entries, on top of get and update. In a transaction they take effect with everything else."""

    # --- the sessions of a buyer -----------------------------------------------------------------------

    async def get_buyer_sessions(
        self, buyer_pricing_key: str, *, on_corrupt: OnCorrupt = None
    ) -> list[dict[str, Any]]:
        """Return the buyer's sessions that exist, in the order in which they were added to the index."""
        ids = await self.get_buyer_session_ids(buyer_pricing_key)
        found = await self.get_many([entity_key("session", one) for one in ids], on_corrupt=on_corrupt)
        return list(found.values())

    async def get_buyer_session_ids(self, buyer_pricing_key: str) -> list[str]:
        """Return the ids in the buyer's index, in the order in which they were added; some may be gone."""
        return _ids(await self.get(session_index_key(buyer_pricing_key)), buyer_pricing_key)

    async def add_session_to_buyer_index(self, session_id: str, buyer_pricing_key: str) -> None:
        """Add the session to the buyer's list, once; no concurrent add or remove is lost.

        If the session is stored already, the ids of sessions that are gone leave the list afterwards.
        """
        index = session_index_key(buyer_pricing_key)

        def add(current: Any) -> Any:
            ids = _ids(current, buyer_pricing_key)
            return LEAVE if session_id in ids else [*ids, session_id]

        check_id("session", session_id)
        await self.update(index, add)  # before anything is looked at, so that concurrent adds keep their order
        gone = await self._gone_sessions(index, session_id, buyer_pricing_key)
        if gone:
            await self._prune(index, gone)

    async def _gone_sessions(self, index: str, session_id: str, buyer_pricing_key: str) -> list[str]:
        """Return the ids in the index without a session.

        None are where the new session itself is not stored yet: its caller adds first and stores afterwards, and
        so may those have done that are adding right now.
        """
        if not await self._is_stored(entity_key("session", session_id)):
            return []
        ids = _ids(await self.get(index), buyer_pricing_key)
        missing = await self._missing([PREFIXES["session"] + one for one in ids if isinstance(one, str) and one])
        return [one for one in ids if f"{PREFIXES['session']}{one}" in missing]

    async def _prune(self, index: str, gone: list[str]) -> None:
        """Take out the ids that are still gone at the commit."""

        async def work(tx: Host) -> None:
            dead = {one for one in gone if not await tx.exists(entity_key("session", one))}

            def rewrite(current: Any) -> Any:
                ids = _ids(current, index.removeprefix(SESSION_INDEX_PREFIX))
                return [one for one in ids if one not in dead] if dead.intersection(ids) else LEAVE

            await tx.update(index, rewrite)

        with suppress(CrossStoreError):  # the slots of a cluster: listings leave out what is gone, and the ids stay
            await self._in_transaction(work)

    async def remove_session_from_buyer_index(self, session_id: str, buyer_pricing_key: str) -> None:
        """Take the session from the buyer's list; no concurrent add or remove is lost."""

        def remove(current: Any) -> Any:
            ids = _ids(current, buyer_pricing_key)
            return [known for known in ids if known != session_id] if session_id in ids else LEAVE

        check_id("session", session_id)
        await self.update(session_index_key(buyer_pricing_key), remove)

    # --- agents by URL ---------------------------------------------------------------------------------

    async def get_agent_id_by_url(self, url: str) -> str | None:
        """Return the id of the agent that is registered under ``url``, or None.

        An agent that was deleted is not found; ``https://x``, ``https://x/`` and ``HTTPS://X`` are one URL.
        """
        found = await self.get_many(agent_url_keys(url))
        for key, agent_id in found.items():
            if not isinstance(agent_id, str):
                raise InvalidValueError(
                    f"{key!r} holds {type(agent_id).__name__}, not an agent id; repair it", key=key
                )
            if agent_id and await self.exists(entity_key("agent", agent_id)):
                return agent_id
        return None


def session_index_key(pricing_key: object) -> str:
    """Return the key of the list of a buyer's sessions."""
    return SESSION_INDEX_PREFIX + check_id("buyer", pricing_key)


def _ids(current: Any, pricing_key: str) -> list[str]:
    if current is None:
        return []
    if not isinstance(current, list):
        raise InvalidValueError(
            f"The session index of {pricing_key!r} holds {type(current).__name__}, not a list; repair or delete "
            f"{SESSION_INDEX_PREFIX + pricing_key!r}",
            key=SESSION_INDEX_PREFIX + pricing_key,
        )
    return current
