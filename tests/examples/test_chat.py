"""`examples/chat.py`: what is said stays said."""

from __future__ import annotations

import pytest

from ad_seller.storage import open_url
from examples.chat import WEEK, NoSessionError, open_session, send_message, shout


async def test_messages_and_replies_are_appended_in_pairs() -> None:
    async with open_url("memory://") as storage:
        await open_session(storage, "s-1", "adv-1")
        assert [await send_message(storage, "s-1", text, shout) for text in ("a", "b")] == ["A", "B"]
        session = await storage.get_session("s-1") or {}
        assert [(m["role"], m["content"]) for m in session["messages"]] == [
            ("user", "a"),
            ("assistant", "A"),
            ("user", "b"),
            ("assistant", "B"),
        ]
        assert await storage.get_buyer_session_ids("adv-1") == ["s-1"]
        assert WEEK - 60 < (await storage.ttl("session:s-1") or 0) <= WEEK


async def test_an_unknown_session_is_not_made() -> None:
    async with open_url("memory://") as storage:
        with pytest.raises(NoSessionError):
            await send_message(storage, "s-1", "a", shout)
        assert await storage.keys() == []
