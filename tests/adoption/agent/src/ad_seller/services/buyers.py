"""Buyers: their conversations, keys and agents."""

import hashlib

from ..storage.factory import get_storage
from ..storage.trust_log import note_trust
from . import Refused, events, new_id, now, there


async def open_session(buyer_key: str) -> dict:
    storage = await get_storage()
    session = {"session_id": new_id("sess-"), "buyer_key": buyer_key, "status": "active", "messages": []}
    await storage.set_session(session_id=session["session_id"], session_data=session, ttl=604800)
    await storage.add_session_to_buyer_index(session["session_id"], buyer_key)
    return session


async def say(session_id: str, text: str) -> dict:
    storage = await get_storage()
    session = there(await storage.get_session(session_id), "session")
    session["messages"] += [{"role": "user", "text": text}, {"role": "assistant", "text": text.upper()}]
    await storage.set_session(session_id, session, ttl=604800)
    return {"session_id": session_id, "message_count": len(session["messages"])}


async def sessions_of(buyer_key: str | None) -> list[dict]:
    storage = await get_storage()
    return await storage.get_buyer_sessions(buyer_key) if buyer_key else await storage.list_sessions()


async def make_key(secret: str, label: str) -> dict:
    storage = await get_storage()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    key = {"key_id": new_id("key-"), "label": label, "revoked": False, "use_count": 0}
    await storage.set("api_key:" + digest, key)
    await storage.set("api_key_index:" + key["key_id"], digest)
    all_keys = await storage.get("api_key_list") or []
    all_keys.append(key["key_id"])
    await storage.set("api_key_list", all_keys)
    return key


async def use_key(secret: str) -> dict:
    storage = await get_storage()
    place = "api_key:" + hashlib.sha256(secret.encode()).hexdigest()
    key = there(await storage.get(place), "key")
    if key["revoked"]:
        raise Refused(401, "revoked")
    key["use_count"] += 1
    key["last_used_at"] = now()
    await storage.set(place, key)
    return key


async def revoke_key(key_id: str) -> dict:
    storage = await get_storage()
    place = "api_key:" + there(await storage.get("api_key_index:" + key_id), "key")
    key = await storage.get(place)
    key["revoked"] = True
    await storage.set(place, key)
    return key


async def register(url: str, name: str) -> dict:
    storage = await get_storage()
    place = "agent_url_index:" + url
    if known := await storage.get(place):
        return there(await storage.get_agent(known), "agent")
    agent = {"agent_id": new_id("agent-"), "url": url, "name": name, "tier": "seat"}
    await storage.set_agent(agent["agent_id"], agent_data=agent)
    await storage.set(place, agent["agent_id"])
    await note_trust(storage, url, "seat")
    await events.publish("agent.registered", agent_id=agent["agent_id"])
    return agent
