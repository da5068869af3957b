"""Imported by the process that the sellers are forked from: `adcp`, and what it makes at its first answer."""

from __future__ import annotations

import asyncio

from asgi_lifespan import LifespanManager

from ad_seller.storage import open_url
from tests.adcp_library.serving import app_of, buy, request_of


async def answer_once() -> None:
    async with open_url("memory://") as storage, LifespanManager(app_of(storage)) as running:
        answer = await buy("http://127.0.0.1:1/mcp", request_of("the-first-request"), app=running.app)
        assert "media_buy_id" in answer, answer


asyncio.run(answer_once())
