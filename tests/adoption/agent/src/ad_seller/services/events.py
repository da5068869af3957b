"""What happened, with indexes by kind."""

from ..storage.factory import get_storage
from . import new_id, now


async def publish(kind: str, **facts) -> dict:
    storage = await get_storage()
    event = {"event_id": new_id("evt-"), "event_type": kind, "at": now(), **facts}
    await storage.set(f"event:{event['event_id']}", event)
    index = f"event_index:type:{kind}"
    ids = await storage.get(index) or []
    ids.append(event["event_id"])
    await storage.set(index, ids)
    return event


async def by_kind(kind: str) -> list[dict]:
    storage = await get_storage()
    return [await storage.get(f"event:{each}") for each in await storage.get(f"event_index:type:{kind}") or []]


async def newest(limit: int) -> list[dict]:
    storage = await get_storage()
    keys = await storage.keys("event:*")
    return [await storage.get(key) for key in keys[-limit:]]
