"""For FastAPI applications: the shared storage, our errors as answers, requests that run once.

::

    app = FastAPI(lifespan=lifespan)
    add_error_handlers(app)

    @app.post("/quotes/{quote_id}/book")
    async def book(quote_id: str, once: Annotated[Once, Depends(Once.per("book"))]) -> Any: ...
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, NamedTuple

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse

from . import Answer, StorageBackend, Transaction, close_storage, errors, get_storage


class _Answer(NamedTuple):
    """A status, a title, and after how many seconds another try makes sense; None: it makes none."""

    status: int
    title: str
    retry_after: int | None = None


#: What each error becomes; the most special class that fits counts. Statuses are those of RFC 9110, section 15.
ANSWERS: Final[dict[type[errors.StorageError], _Answer]] = {
    errors.InvalidArgumentError: _Answer(422, "The request cannot be stored"),
    errors.MissingKeyError: _Answer(404, "There is no such entry"),
    errors.InvalidTransitionError: _Answer(409, "The record does not allow this step"),
    errors.IdempotencyConflictError: _Answer(409, "The idempotency key belongs to another request"),
    errors.IdempotencyExpiredError: _Answer(410, "The answer to this idempotency key is remembered no longer"),
    errors.InFlightError: _Answer(409, "It is being worked on", 1),
    errors.EffectUnknownError: _Answer(503, "Whether another system did it is not known", 5),
    errors.ConflictError: _Answer(409, "Others changed it at the same time", 1),
    errors.LeaseHeldError: _Answer(409, "Somebody else is at work on it", 1),
    errors.LeaseLostError: _Answer(409, "Somebody else is at work on it", 1),
    errors.CrossStoreError: _Answer(500, "The entries lie in different places"),
    errors.NotConnectedError: _Answer(503, "The storage is closed", 5),
    errors.StorageConnectionError: _Answer(503, "The storage cannot be reached", 5),
    errors.StorageTimeoutError: _Answer(503, "The storage is busy", 1),
    errors.StoreUnavailableError: _Answer(503, "The storage cannot do this now", 5),
    errors.UnknownOutcomeError: _Answer(503, "Whether it took effect is not known", 1),
    errors.StorageError: _Answer(500, "The storage failed"),
}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the shared storage before the first request and close it after the last; for ``FastAPI(lifespan=…)``."""
    await get_storage()
    try:
        yield
    finally:
        await close_storage()


async def storage() -> StorageBackend:
    """Return the shared storage, connected; also where no lifespan ran, as in a ``TestClient`` without ``with``."""
    return await get_storage()


#: The type of an argument that gets the shared storage.
Storage = Annotated[StorageBackend, Depends(storage)]


def add_error_handlers(app: FastAPI) -> None:
    """Answer our errors as problem details (RFC 9457), with Retry-After where another try makes sense."""
    app.add_exception_handler(errors.StorageError, _problem)


def answer_of(error: errors.StorageError) -> _Answer:
    """Return what an error becomes."""
    return next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)


async def _problem(request: Request, error: Exception) -> JSONResponse:
    answer = answer_of(error) if isinstance(error, errors.StorageError) else ANSWERS[errors.StorageError]
    # What went wrong inside is for the log; what the caller did wrong is for the caller.
    detail = str(error) if answer.status < 500 else "See the log of the server."
    pause = math.ceil(error.retry_after) if isinstance(error, errors.InFlightError) else answer.retry_after
    headers = {} if pause is None else {"Retry-After": str(pause)}
    content = {"type": "about:blank", "title": answer.title, "status": answer.status, "detail": detail}
    return JSONResponse(content, answer.status, headers, media_type="application/problem+json")


class Once:
    """A request with an ``Idempotency-Key``: its work takes effect once, and each sender gets the same result.

    Made by the dependency `Once.per`. The header is that of
    https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
    """

    def __init__(self, store: StorageBackend, scope: str, key: str) -> None:
        """Keep what identifies the request."""
        self._store = store
        self._scope = scope
        self._key = key

    async def run(self, request: Any, work: Callable[[Transaction], Awaitable[Any]], **options: Any) -> Any:
        """Return the result of ``work``; see `StorageBackend.run_once`.

        Args:
            request: the request as a JSON value; a repeat with the same key must be equal.
            work: an async function of a transaction that returns a JSON value.
            options: those of `run_once`, e.g. ``ttl``.
        """
        return await self._store.run_once(self._scope, self._key, request, work, **options)

    async def run_detailed(
        self, request: Any, work: Callable[[Transaction], Awaitable[Any]], **options: Any
    ) -> Answer[Any]:
        """Do the same, and tell whether it is a repeat; see `StorageBackend.run_once_detailed`.

        Args:
            request: the request as a JSON value; a repeat with the same key must be equal.
            work: an async function of a transaction that returns a JSON value.
            options: those of `run_once`, e.g. ``in_flight="raise"``.
        """
        return await self._store.run_once_detailed(self._scope, self._key, request, work, **options)

    @staticmethod
    def per(scope: str, caller: Callable[[Request], str] = lambda request: "") -> Callable[..., Awaitable[Once]]:
        """Return a dependency for requests of one kind.

        Args:
            scope: what the keys belong to, e.g. "book".
            caller: tells who sends a request, e.g. from its credentials: two callers may choose the same key.
        """

        async def once(
            request: Request, store: Storage, idempotency_key: Annotated[str, Header(min_length=1, max_length=255)]
        ) -> Once:
            return Once(store, f"{scope}:{caller(request)}", idempotency_key)

        return once
