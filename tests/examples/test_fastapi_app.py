"""`examples/fastapi_app.py` over HTTP: 8 buyers, one quote, one deal."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ad_seller.storage import close_storage, open_url
from examples.fastapi_app import app


def test_one_quote_is_sold_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("STORAGE_TYPE", raising=False)

    async def fill() -> None:
        async with open_url(url) as storage:
            await storage.set_quote("qt-1", {"quote_id": "qt-1", "status": "available"})
            await storage.set_order("ORD-1", {"status": "draft"})

    asyncio.run(fill())

    def send(number: int) -> int:
        headers = {"Idempotency-Key": "k", "X-Buyer": f"buyer {number % 8}"}
        return client.post("/bookings", json={"quote_id": "qt-1"}, headers=headers).status_code

    with TestClient(app) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(16)))
        assert client.get("/health").json() == {"reachable": True}
        assert client.get("/quotes/qt-1").json()["status"] == "booked"
        assert client.get("/quotes/qt-2").status_code == 404
        assert client.post("/orders/ORD-2/approve").status_code == 404
        assert client.post("/orders/ORD-1/approve").status_code == 409
    assert sorted(answers) == [200] * 2 + [409] * 14
    asyncio.run(close_storage())


def test_a_store_that_is_gone_is_told_to_the_load_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_TYPE", "redis")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    answer = TestClient(app).get("/health")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
