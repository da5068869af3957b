"""A pytest plugin for adcp's own tests: their stores in memory become those of our examples, at STORE_URL.

`python -m tests.adcp_library.own` runs them with it.
"""

from __future__ import annotations

import functools
import inspect
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import adcp.decisioning
import adcp.decisioning.proposal_store
import adcp.server
import adcp.server.idempotency
import adcp.server.idempotency.backends
import pytest
from adcp.decisioning import ProposalRecord, ProposalStore, Recipe
from adcp.server.idempotency import CachedResponse

from ad_seller.storage import open_url
from examples.adcp.idempotency import StoredAnswers
from examples.adcp.proposals import StoredProposals, _key

STORE = open_url(os.environ["STORE_URL"])


class Answers(StoredAnswers):
    """For `MemoryBackend`: each object has entries of its own; a clock that a test moves counts, too."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(STORE, clock=clock)
        self.own = f"{uuid.uuid4().hex}/"

    async def get(self, scope_key: str, key: str) -> CachedResponse | None:
        await STORE.connect()
        entry = await super().get(self.own + scope_key, key)
        return None if entry is None or entry.expires_at_epoch <= self._clock() else entry

    async def put(self, scope_key: str, key: str, entry: CachedResponse) -> None:
        await STORE.connect()
        await super().put(self.own + scope_key, key, entry)

    async def put_if_absent(self, scope_key: str, key: str, entry: CachedResponse) -> bool:
        await STORE.connect()
        return await super().put_if_absent(self.own + scope_key, key, entry)

    @asynccontextmanager
    async def hold(self, scope_key: str, key: str) -> AsyncIterator[None]:
        await STORE.connect()
        async with super().hold(self.own + scope_key, key):
            yield

    async def _names(self) -> list[str]:
        await STORE.connect()
        return [name for name in await STORE.keys("adcp_answer:*") if self.own.removesuffix("/") in name]

    async def _size(self) -> int:
        return len(await self._names())

    async def clear(self) -> None:
        await STORE.delete_many(await self._names())


class Proposals(StoredProposals):
    """For `InMemoryProposalStore`: recipes come back as the class that was put in."""

    is_durable: ClassVar[bool] = False  # what the tests ask of the one that they think they have

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), **ttls: Any) -> None:
        ttls = {{"committed_grace": "grace"}.get(name, name): value for name, value in ttls.items()}
        super().__init__(STORE, decode_recipe=self._decode, clock=clock, **ttls)
        self.own = f"{uuid.uuid4().hex}/"
        self._kinds: dict[str, type[Recipe]] = {}

    def _decode(self, row: Mapping[str, Any]) -> Recipe:
        return self._kinds[row["recipe_kind"]].model_validate(row)

    async def put_draft(self, *, account_id: str, recipes: Mapping[str, Recipe], **said: Any) -> None:
        self._kinds |= {recipe.recipe_kind: type(recipe) for recipe in recipes.values()}
        await super().put_draft(account_id=account_id, recipes=recipes, **said)

    def __getattribute__(self, name: str) -> Any:
        """Open the store before each call, and keep the accounts of each object apart."""
        found = super().__getattribute__(name)
        return opened(found, self) if name in CALLS else found

    async def evict(self, account_id: str, proposal_id: str) -> None:
        """Remove what has expired by the clock that the test moves; the store goes by its own."""
        key = _key(account_id, proposal_id)
        row = await STORE.get(key)
        left = None if row is None else self._ttl(row)
        if left is not None and left <= 0.001:
            await STORE.delete(key)


CALLS = {name for name in vars(ProposalStore) if not name.startswith("_") and name != "is_durable"}


def opened(call: Callable[..., Any], store: Proposals) -> Callable[..., Any]:
    own = store.own

    @functools.wraps(call)
    async def run(*args: Any, **said: Any) -> Any:
        await STORE.connect()
        for name in {"account_id", "expected_account_id"} & said.keys():
            said[name] = own + said[name].removeprefix(own)  # one call may use another
            await store.evict(said[name], args[0] if args else said.get("proposal_id", ""))
        answer = await call(*args, **said)
        if isinstance(answer, ProposalRecord):
            return replace(answer, account_id=answer.account_id.removeprefix(own))
        return answer

    return run


def closing(test: Callable[..., Any]) -> Callable[..., Any]:
    """Return the test, which closes the store at its end, in its own event loop."""

    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        try:
            await test(*args, **kwargs)
        finally:
            await STORE.disconnect()

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = closing(item.obj)


for module in (adcp.server, adcp.server.idempotency, adcp.server.idempotency.backends):
    module.MemoryBackend = Answers  # type: ignore[attr-defined]
for module in (adcp.decisioning, adcp.decisioning.proposal_store):
    module.InMemoryProposalStore = Proposals  # type: ignore[attr-defined]
