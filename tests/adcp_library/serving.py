"""Sellers in processes of their own: adcp's MCP server over HTTP, all on one store."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from multiprocessing.connection import Connection
from typing import Any

import httpx
import uvicorn
from adcp.server import RequestMetadata, ToolContext, create_mcp_server
from adcp.server.idempotency import CachedResponse, IdempotencyStore

from ad_seller.storage import StorageBackend
from examples.adcp.idempotency import StoredAnswers, make_seller
from tests.atomic.support import Address

Record = dict[str, Any]


class Failing(StoredAnswers):
    """It dies, or waits to be let go, when an answer is to be committed."""

    def __init__(self, storage: StorageBackend, fault: str | None, **how: Any) -> None:
        super().__init__(storage, **how)
        self.fault = fault

    async def put(self, scope_key: str, key: str, entry: CachedResponse) -> None:
        if self.fault == "killed before":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "waits":
            await self.storage.set("test:waiting", True)
            while not await self.storage.exists("test:go"):  # noqa: ASYNC110 - the test is another process
                await asyncio.sleep(0.01)
        await super().put(scope_key, key, entry)
        if self.fault == "killed after":
            os.kill(os.getpid(), signal.SIGKILL)


def caller(request: RequestMetadata) -> ToolContext:
    """Believe who somebody says to be; a real seller authenticates."""
    return ToolContext(caller_identity=request.request_context.headers["x-buyer"], tenant_id="tenant-1")


def app_of(storage: StorageBackend, fault: str | None = None, **how: Any) -> Any:
    answers = IdempotencyStore(Failing(storage, fault, **how), raise_on_persist_error=True)
    mcp = create_mcp_server(make_seller(storage, answers), stateless_http=True, context_factory=caller)
    return mcp.streamable_http_app()


async def serve(address: Address, ready: Connection, fault: str | None, how: Record) -> None:
    async with address.open() as storage:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(uvicorn.Config(app_of(storage, fault, **how), log_level="error"))
            ready.send(listening.getsockname()[1])
            await server.serve(sockets=[listening])


def run(*arguments: Any) -> None:
    asyncio.run(serve(*arguments))


def request_of(key: str, budget: int = 1000) -> Record:
    return {
        "adcp_version": "3.2",
        "idempotency_key": key,
        "account": {"account_id": "acct-1"},
        "brand": {"domain": "brand.example"},
        "start_time": "2026-12-01T00:00:00Z",
        "end_time": "2026-12-31T00:00:00Z",
        "packages": [{"product_id": "prod-1", "pricing_option_id": "cpm-1", "budget": budget}],
    }


async def buy(url: str, request: Record, buyer: str = "buyer-1", app: Any = None) -> Record:
    """Send `create_media_buy`, to a URL or an app; return the answer, be it an error of the protocol."""
    call = {"name": "create_media_buy", "arguments": request}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"accept": "application/json, text/event-stream", "x-buyer": buyer}
    inside = None if app is None else httpx.ASGITransport(app)
    async with httpx.AsyncClient(timeout=60, trust_env=False, transport=inside) as client:
        response = await client.post(url, headers=headers, json=body)
    answer: Record = response.json()["result"]["structuredContent"]
    return answer


def code(answer: Record) -> str:
    found: str = answer["adcp_error"]["code"]
    return found
