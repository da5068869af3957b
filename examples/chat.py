"""A conversation: a message and its reply are appended to what the session holds at that moment.

The reply takes a while (a language model writes it), so it is made first, outside the store, and then appended
together with the message. Messages that arrive meanwhile are not lost, and the session's expiry stays.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ad_seller.storage import MissingKeyError, StorageBackend, open_url

Record = dict[str, Any]
Reply = Callable[[str], Awaitable[str]]
WEEK = 7 * 86_400


class NoSessionError(Exception):
    """The session has expired or never was."""


async def open_session(storage: StorageBackend, session_id: str, buyer: str) -> None:
    """Store a session and list it under its buyer: one commit."""
    session: Record = {"session_id": session_id, "status": "active", "messages": []}
    await storage.save_buyer_session(session_id, session, buyer, ttl=WEEK)


async def send_message(storage: StorageBackend, session_id: str, text: str, reply: Reply) -> str:
    """Answer a message, and keep both in the session."""
    answer = await reply(text)

    def append(session: Record) -> Record:
        exchange = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
        return session | {"messages": [*session["messages"], *exchange]}

    try:
        await storage.update_session(session_id, append)
    except MissingKeyError as error:
        raise NoSessionError(f"There is no session {session_id}") from error
    return answer


async def shout(text: str) -> str:
    await asyncio.sleep(0.01)
    return text.upper()


async def main() -> None:
    async with open_url("memory://") as storage:
        await open_session(storage, "s-1", "advertiser:adv-0")
        await asyncio.gather(*(send_message(storage, "s-1", text, shout) for text in ("hello", "what", "when")))
        session = await storage.get_session("s-1") or {}
        print([message["content"] for message in session["messages"]])
        print(await storage.get_buyer_session_ids("advertiser:adv-0"))


if __name__ == "__main__":
    asyncio.run(main())
