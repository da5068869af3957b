"""What a store offers: seven operations, and names for the records."""

from abc import ABC, abstractmethod
from typing import Any


class StorageBackend(ABC):
    """A store of JSON values by key."""

    @abstractmethod
    async def connect(self) -> None: ...

    @abstractmethod
    async def disconnect(self) -> None: ...

    @abstractmethod
    async def get(self, key: str) -> Any | None: ...

    @abstractmethod
    async def set(self, key: str, value: Any, ttl: int | None = None) -> None: ...

    @abstractmethod
    async def delete(self, key: str) -> bool: ...

    @abstractmethod
    async def exists(self, key: str) -> bool: ...

    @abstractmethod
    async def keys(self, pattern: str = "*") -> list[str]: ...

    async def _all(self, pattern: str, wanted: dict | None = None) -> list[dict]:
        records = [await self.get(key) for key in await self.keys(pattern)]
        wanted = wanted or {}
        return [each for each in records if each and all(each.get(name) == value for name, value in wanted.items())]

    async def get_product(self, product_id: str) -> dict | None:
        return await self.get("product:" + product_id)

    async def set_product(self, product_id: str, product_data: dict) -> None:
        await self.set("product:" + product_id, product_data)

    async def list_products(self) -> list[dict]:
        return await self._all("product:*")

    async def get_deal(self, deal_id: str) -> dict | None:
        return await self.get("deal:" + deal_id)

    async def set_deal(self, deal_id: str, deal_data: dict) -> None:
        await self.set("deal:" + deal_id, deal_data)

    async def list_deals(self) -> list[dict]:
        return await self._all("deal:*")

    async def get_quote(self, quote_id: str) -> dict | None:
        return await self.get("quote:" + quote_id)

    async def set_quote(self, quote_id: str, quote_data: dict, ttl: int = 86400) -> None:
        await self.set("quote:" + quote_id, quote_data, ttl=ttl)

    async def list_quotes(self, filters: dict | None = None) -> list[dict]:
        return await self._all("quote:*", filters)

    async def get_order(self, order_id: str) -> dict | None:
        return await self.get("order:" + order_id)

    async def set_order(self, order_id: str, order_data: dict) -> None:
        await self.set("order:" + order_id, order_data)

    async def list_orders(self, filters: dict | None = None) -> list[dict]:
        return await self._all("order:*", filters)

    async def get_change_request(self, cr_id: str) -> dict | None:
        return await self.get("change_request:" + cr_id)

    async def set_change_request(self, cr_id: str, cr_data: dict) -> None:
        await self.set("change_request:" + cr_id, cr_data)

    async def list_change_requests(self, filters: dict | None = None) -> list[dict]:
        return await self._all("change_request:*", filters)

    async def get_negotiation(self, proposal_id: str) -> dict | None:
        return await self.get("negotiation:" + proposal_id)

    async def set_negotiation(self, proposal_id: str, data: dict) -> None:
        await self.set("negotiation:" + proposal_id, data)

    async def get_agent(self, agent_id: str) -> dict | None:
        return await self.get("agent:" + agent_id)

    async def set_agent(self, agent_id: str, agent_data: dict) -> None:
        await self.set("agent:" + agent_id, agent_data)

    async def list_agents(self) -> list[dict]:
        return await self._all("agent:*")

    async def get_session(self, session_id: str) -> dict | None:
        return await self.get("session:" + session_id)

    async def set_session(self, session_id: str, session_data: dict, ttl: int | None = None) -> None:
        await self.set("session:" + session_id, session_data, ttl=ttl)

    async def list_sessions(self) -> list[dict]:
        return await self._all("session:*")

    async def get_buyer_sessions(self, buyer_pricing_key: str) -> list[dict]:
        ids = await self.get("session_index:buyer:" + buyer_pricing_key) or []
        return [session for each in ids if (session := await self.get_session(each))]

    async def add_session_to_buyer_index(self, session_id: str, buyer_pricing_key: str) -> None:
        ids = await self.get("session_index:buyer:" + buyer_pricing_key) or []
        if session_id not in ids:
            await self.set("session_index:buyer:" + buyer_pricing_key, [*ids, session_id])
