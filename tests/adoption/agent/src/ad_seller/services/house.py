"""The seller's own things: products, overrides, rates, approvals, synchronisation."""

from ..storage.factory import get_storage
from . import Refused, new_id, now, there


async def set_product(product_id: str, name: str, cpm: float) -> dict:
    storage = await get_storage()
    product = {"product_id": product_id, "name": name, "cpm": cpm, "tags": [], "note": None}
    await storage.set_product(product_id, product)
    return product


async def override(product_id: str, cpm: float) -> dict:
    storage = await get_storage()
    product = there(await storage.get_product(product_id), "product")
    await storage.set("inventory_override:" + product_id, {"before": product["cpm"], "at": now()})
    product["cpm"] = cpm
    await storage.set_product(product_id, product)
    return product


async def set_rates(changes: dict) -> dict:
    storage = await get_storage()
    card = await storage.get("rate_card:current") or {"entries": {}}
    card["entries"].update(changes)
    await storage.set("rate_card:current", card)
    return card


async def synchronise() -> dict:
    storage = await get_storage()
    mark = await storage.get("sync_watermark:inventory")
    await storage.set("sync_watermark:inventory", {"at": now(), "runs": (mark or {"runs": 0})["runs"] + 1})
    return await storage.get("sync_watermark:inventory")


async def ask_approval(subject: str) -> dict:
    storage = await get_storage()
    approval = {"approval_id": new_id("apr-"), "subject": subject, "status": "pending"}
    await storage.set("approval:" + approval["approval_id"], approval)
    pending = await storage.get("approval_index:pending") or []
    pending.append(approval["approval_id"])
    await storage.set("approval_index:pending", pending)
    return approval


async def approve(approval_id: str) -> dict:
    storage = await get_storage()
    approval = there(await storage.get("approval:" + approval_id), "approval")
    if approval["status"] != "pending":
        raise Refused(409, "approval is " + approval["status"])
    approval["status"] = "granted"
    await storage.set("approval:" + approval_id, approval)
    pending = await storage.get("approval_index:pending") or []
    pending.remove(approval_id)
    await storage.set("approval_index:pending", pending)
    return {"approval": approval, "still_pending": len(pending)}
