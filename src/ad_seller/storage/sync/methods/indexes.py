"""Made by `python -m tests.sync.generate` from `IndexHelpers`; not to be edited."""

from __future__ import annotations

from typing import Any

from ad_seller.storage import OnCorrupt

from ..handover import Inner, Methods, reported


class IndexMethods(Methods[Inner]):
    """The methods of `IndexHelpers` without await."""

    def get_buyer_sessions(self, buyer_pricing_key: str, *, on_corrupt: OnCorrupt = None) -> list[dict[str, Any]]:
        """Return the buyer's sessions that exist, in the order in which they were added to the index."""
        with reported(on_corrupt) as report:
            return self._run(self._inner.get_buyer_sessions, buyer_pricing_key, on_corrupt=report)

    def get_buyer_session_ids(self, buyer_pricing_key: str) -> list[str]:
        """Return the ids in the buyer's index, in the order in which they were added; some may be gone."""
        return self._read(self._inner.get_buyer_session_ids, buyer_pricing_key)

    def add_session_to_buyer_index(self, session_id: str, buyer_pricing_key: str) -> None:
        """Add the session to the buyer's list, once; no concurrent add or remove is lost."""
        return self._run(self._inner.add_session_to_buyer_index, session_id, buyer_pricing_key)

    def remove_session_from_buyer_index(self, session_id: str, buyer_pricing_key: str) -> None:
        """Take the session from the buyer's list; no concurrent add or remove is lost."""
        return self._run(self._inner.remove_session_from_buyer_index, session_id, buyer_pricing_key)

    def get_agent_id_by_url(self, url: str) -> str | None:
        """Return the id of the agent that is registered under ``url``, or None."""
        return self._run(self._inner.get_agent_id_by_url, url)
