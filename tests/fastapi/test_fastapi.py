"""The module for FastAPI applications, over HTTP, on a real SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient

from ad_seller.storage import (
    ConflictError,
    IdempotencyConflictError,
    InvalidKeyError,
    NotConnectedError,
    StorageError,
    StorageTimeoutError,
    Transaction,
    UnknownOutcomeError,
    close_storage,
    errors,
)
from ad_seller.storage.fastapi import ANSWERS, Once, Storage, add_error_handlers, answer_of, lifespan


def caller(request: Request) -> str:
    return request.headers.get("X-Buyer", "")


def make_app() -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    add_error_handlers(app)

    @app.put("/orders/{order_id}")
    async def put(order_id: str, record: dict[str, Any], storage: Storage) -> None:
        await storage.set_order(order_id, record)

    @app.get("/orders/{order_id}")
    async def get(order_id: str, storage: Storage) -> Any:
        return await storage.get_order(order_id)

    @app.post("/orders/{order_id}/approve")
    async def approve(order_id: str, storage: Storage) -> Any:
        return await storage.transition_order(order_id, "approved", actor="test")

    @app.post("/deals")
    async def book(body: dict[str, Any], once: Annotated[Once, Depends(Once.per("book", caller))]) -> Any:
        async def work(tx: Transaction) -> Any:
            number = await tx.update("deals", lambda count: (count or 0) + 1)
            await tx.set_deal(f"D-{number}", body)
            return {"deal_id": f"D-{number}"}

        if "note" in body:
            answer = await once.run_detailed(body, work, in_flight="raise")
            return {**answer.result, "replayed": answer.replayed}
        return await once.run(body, work)

    @app.get("/busy")
    async def busy() -> None:
        raise errors.InFlightError("It runs", key="k", retry_after=6.2)

    @app.get("/fails/{kind}")
    async def fails(kind: str) -> None:
        raise getattr(errors, kind)("secret of the inside", key="k")

    return app


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in ("STORAGE_TYPE", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/store.db")
    yield
    asyncio.run(close_storage())


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(make_app()) as client:
        yield client


def test_the_shared_storage_is_open_while_the_application_runs(client: TestClient) -> None:
    assert client.put("/orders/1", json={"n": 1}).status_code == 200
    assert client.get("/orders/1").json() == {"n": 1}


def test_without_a_lifespan_too() -> None:
    """A TestClient that is not entered runs each request in an event loop of its own."""
    client = TestClient(make_app())
    answers = [client.put(f"/orders/{number}", json={"n": number}).status_code for number in range(200)]
    assert answers == [200] * 200
    assert [client.get(f"/orders/{number}").json()["n"] for number in range(200)] == list(range(200))


def test_a_request_with_a_key_takes_effect_once(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k1", "X-Buyer": "acme"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/deals", json={"cpm": 1}, headers=headers).json(), range(8)))
    assert answers == [{"deal_id": "D-1"}] * 8
    other = client.post("/deals", json={"cpm": 1}, headers={"Idempotency-Key": "k1", "X-Buyer": "other"})
    assert other.json() == {"deal_id": "D-2"}


def test_another_request_with_the_same_key_is_a_conflict(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    client.post("/deals", json={"cpm": 1}, headers=headers)
    answer = client.post("/deals", json={"cpm": 2}, headers=headers)
    assert answer.status_code == 409
    assert "Retry-After" not in answer.headers
    assert answer.json()["title"] == ANSWERS[IdempotencyConflictError].title


def test_a_repeat_is_marked(client: TestClient) -> None:
    sent = [client.post("/deals", json={"note": 1}, headers={"Idempotency-Key": "n"}).json() for _ in range(2)]
    assert [answer.pop("replayed") for answer in sent] == [False, True]
    assert sent[0] == sent[1]


def test_who_comes_too_early_is_told_when_to_come_back(client: TestClient) -> None:
    answer = client.get("/busy")
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "7")


def test_without_a_key_it_is_refused(client: TestClient) -> None:
    assert client.post("/deals", json={}).status_code == 422
    assert client.post("/deals", json={}, headers={"Idempotency-Key": ""}).status_code == 422


@pytest.mark.parametrize(
    ("path", "status"),
    [("/orders/missing/approve", 404), ("/orders/old/approve", 409), ("/orders/long/approve", 422)],
)
def test_what_the_caller_did_wrong_is_said(client: TestClient, path: str, status: int) -> None:
    client.put("/orders/old", json={"status": "completed"})
    answer = client.post(path.replace("long", "x" * 3000))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert len(answer.json()["detail"]) > 20


@pytest.mark.parametrize("kind", [ConflictError, StorageTimeoutError, NotConnectedError, UnknownOutcomeError])
def test_where_another_try_makes_sense_it_is_said_when(client: TestClient, kind: type[StorageError]) -> None:
    answer = client.get(f"/fails/{kind.__name__}")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.status_code in (409, 503)


def test_what_is_wrong_inside_is_not_told_outside(client: TestClient) -> None:
    for kind in ("StorageTimeoutError", "CorruptValueError", "StoreUnavailableError"):
        answer = client.get(f"/fails/{kind}")
        assert answer.status_code >= 500
        assert "secret" not in answer.text


def test_every_error_has_an_answer() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StorageError)]
    assert len(kinds) > 20
    for kind in kinds:
        assert answer_of(kind.__new__(kind)).status in (404, 409, 410, 422, 500, 503)
    assert answer_of(InvalidKeyError("x")).status == 422
