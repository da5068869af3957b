"""The two indexes that seller agents keep beside their records: a buyer's sessions, and agents by URL."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidValueError
from ..records.markers import LEAVE
from .entities import check_id
from .host import Host
from .kinds import AGENT_URL_INDEX_PREFIX, SESSION_INDEX_PREFIX


class IndexHelpers(Host):
    """Index entries, on top of get and update. In a transaction they take effect with everything else."""

    # --- the sessions of a buyer -----------------------------------------------------------------------

    async def get_buyer_sessions(self, pricing_key: str) -> list[str]:
        """Return the ids of the buyer's sessions, in the order in which they were added."""
        return _ids(await self.get(session_index_key(pricing_key)), pricing_key)

    async def add_session_to_buyer_index(self, session_id: str, pricing_key: str) -> None:
        """Add the session to the buyer's list, once; no concurrent add or remove is lost."""

        def add(current: Any) -> Any:
            ids = _ids(current, pricing_key)
            return LEAVE if session_id in ids else [*ids, session_id]

        check_id("session", session_id)
        await self.update(session_index_key(pricing_key), add)

    async def remove_session_from_buyer_index(self, session_id: str, pricing_key: str) -> None:
        """Take the session from the buyer's list; no concurrent add or remove is lost."""

        def remove(current: Any) -> Any:
            ids = _ids(current, pricing_key)
            return [known for known in ids if known != session_id] if session_id in ids else LEAVE

        check_id("session", session_id)
        await self.update(session_index_key(pricing_key), remove)

    # --- agents by URL ---------------------------------------------------------------------------------

    async def get_agent_id_by_url(self, url: str) -> str | None:
        """Return the id of the agent that is registered under ``url``, or None."""
        found = await self.get(agent_url_key(url))
        if found is not None and not isinstance(found, str):
            key = agent_url_key(url)
            raise InvalidValueError(f"{key!r} holds {type(found).__name__}, not an agent id; repair it", key=key)
        return found


def session_index_key(pricing_key: object) -> str:
    """Return the key of the list of a buyer's sessions."""
    return SESSION_INDEX_PREFIX + check_id("buyer", pricing_key)


def agent_url_key(url: object) -> str:
    """Return the key under which an agent's URL leads to its id."""
    return AGENT_URL_INDEX_PREFIX + check_id("URL index entry", url)


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
