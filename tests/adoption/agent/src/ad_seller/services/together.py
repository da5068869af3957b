"""The call sites that docs/moving-in.md changes, in their new form; they need ad-seller-storage."""

from ..storage.factory import get_storage
from . import Refused, new_id, now, there


async def book(quote_id: str, buyer_id: str, idempotency_key: str) -> dict:
    storage = await get_storage()

    async def work(tx) -> dict:
        quote = there(await tx.get_quote(quote_id), "quote")
        if quote["status"] != "available":
            raise Refused(409, "quote is " + quote["status"])
        deal = {
            "deal_id": new_id("DEMO-").upper(),
            "quote_id": quote_id,
            "buyer_id": buyer_id,
            "status": "proposed",
        }
        await tx.set_deal(deal["deal_id"], deal)
        await tx.set_quote(quote_id, quote | {"status": "booked", "deal_id": deal["deal_id"]})
        return deal

    return await storage.run_once(f"book:{buyer_id}", idempotency_key, {"quote_id": quote_id}, work)


async def say(session_id: str, text: str) -> dict:
    storage = await get_storage()

    def append(session: dict | None) -> dict:
        said = [{"role": "user", "text": text}, {"role": "assistant", "text": text.upper()}]
        return there(session, "session") | {"messages": [*session["messages"], *said]}

    session = await storage.update_session(session_id, append)
    return {"session_id": session_id, "message_count": len(session["messages"])}


async def use_key(place: str) -> dict:
    storage = await get_storage()

    def count(key: dict | None) -> dict:
        if there(key, "key")["revoked"]:
            raise Refused(401, "revoked")
        return key | {"use_count": key["use_count"] + 1, "last_used_at": now()}

    return await storage.update(place, count)
