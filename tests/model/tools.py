"""The rules about the atomic tools: update, transactions, requests that run once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from ad_seller.storage import DELETE, KEEP, LEAVE, IdempotencyConflictError, Transaction
from ad_seller.storage.testing.conformance.samples import same
from tests.model import draws
from tests.model.machine import StoreMachine
from tests.model.reference import Reference

NEW = {"new": [1.0, None]}


class OopsError(Exception):
    """What a caller's own code raises."""


class UpdateRules(StoreMachine):
    """Changes of one entry by a function."""

    @rule(key=draws.keys, what=st.sampled_from(["leave", "delete", "new", "raise"]), data=st.data())
    def update(self, key: str, what: str, data: st.DataObject) -> None:
        seen: list[Any] = []
        before = self.model.get(key)

        def change(current: Any) -> Any:
            seen.append(current)
            if what == "raise":
                raise OopsError
            return {"leave": LEAVE, "delete": DELETE, "new": NEW}[what]

        ttl = data.draw(st.sampled_from([KEEP, None, 3600]))
        work = self.store.update(key, change, ttl=ttl)
        if what == "raise":
            with pytest.raises(OopsError):
                self.run(work)
        else:
            assert same(self.run(work), {"leave": before, "delete": None, "new": NEW}[what])
        assert same(seen, [before])
        if what == "new":
            self.model.set(key, NEW, ttl)
        elif what == "delete":
            self.model.delete(key)


class TransactionRules(StoreMachine):
    """Several steps, all or nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: dict[str, tuple[Any, Any]] = {}

    @rule(steps=st.lists(draws.steps, max_size=6), fails=st.booleans(), again=st.booleans())
    def transact(self, steps: list[tuple[Any, ...]], fails: bool, again: bool) -> None:
        after = self.model.copy()
        if not fails:
            self.model = after

        async def work(tx: Transaction) -> None:
            shadow = before.copy()
            for step in steps:
                await _take(tx, shadow, *step)
            if fails:
                raise OopsError

        before = after.copy()
        for step in steps:
            _apply(after, *step)
        if fails:
            with pytest.raises(OopsError):
                self.run(self.store.transact(work))
        elif again:
            self.run(self.store.transact(work))
        else:
            self.run(self._in_a_block(work))

    async def _in_a_block(self, work: Any) -> None:
        async with self.store.transaction() as tx:
            await work(tx)

    @rule(name=st.sampled_from(["r1", "r2"]), request=st.sampled_from([1, 2, {"a": 1}]), result=draws.plain_values)
    def run_once(self, name: str, request: Any, result: Any) -> None:
        """The first request decides; an equal one gets its answer, another one an error."""
        known = self.requests.get(name)

        async def work(tx: Transaction) -> Any:
            assert known is None, "it ran before"
            return result

        call = self.store.run_once("model", name, request, work, ttl=None)
        if known is not None and known[0] != request:
            with pytest.raises(IdempotencyConflictError):
                self.run(call)
            return
        answer = self.run(call)
        assert same(answer, result if known is None else known[1])
        if known is None:
            self.requests[name] = (request, result)
            key = f"idempotency:model:{name}"
            self.model.set(key, self.run(self.store.get(key)))


async def _take(tx: Transaction, shadow: Reference, kind: str, key: str, *rest: Any) -> None:
    """Take a step in a transaction and compare its answer with the model's."""
    if kind == "get":
        assert same(await tx.get(key), shadow.get(key))
    elif kind == "exists":
        assert await tx.exists(key) is shadow.exists(key)
    elif kind == "delete":
        assert await tx.delete(key) is shadow.exists(key)
    elif kind == "create":
        assert await tx.create(key, *rest) is not shadow.exists(key)
    elif kind == "set":
        await tx.set(key, *rest)
    elif kind == "keep":
        await tx.set(key, rest[0], KEEP)
    else:
        [what] = rest
        answer = await tx.update(key, lambda _: {"leave": LEAVE, "delete": DELETE, "new": NEW}[what])
        assert same(answer, {"leave": shadow.get(key), "delete": None, "new": NEW}[what])
    _apply(shadow, kind, key, *rest)


def _apply(model: Reference, kind: str, key: str, *rest: Any) -> None:
    """Take a step in the model."""
    if kind in ("set", "create"):
        {"set": model.set, "create": model.create}[kind](key, *rest)
    elif kind == "keep":
        model.set(key, rest[0], KEEP)
    elif kind == "delete" or rest == ("delete",):
        model.delete(key)
    elif rest == ("new",):
        model.set(key, NEW, KEEP)
