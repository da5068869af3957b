"""effects: what nobody knows, shown and decided."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ad_seller.storage import Reconciled, Unknown, open_url
from tests.cli.conftest import Invoke


def leave_open(url: str, scope: str, name: str) -> str:
    """Leave an effect of which nobody knows; return its id."""
    ids: list[str] = []

    async def call(effect_id: str) -> Any:
        ids.append(effect_id)
        raise ConnectionResetError("https://ads:geheim@host/\x1b[31m hung up")

    async def reconcile(effect_id: str) -> Reconciled:
        return Unknown()

    async def make() -> None:
        async with open_url(url) as store:
            await store.effect(scope, name, call, reconcile=reconcile)

    try:
        asyncio.run(make())
    except ConnectionResetError:
        return ids[0]
    raise AssertionError("it was made")


def result_of(url: str, scope: str, name: str) -> Any:
    async def call(effect_id: str) -> Any:
        return "made now"

    async def reconcile(effect_id: str) -> Reconciled:
        return Unknown()

    async def ask() -> Any:
        async with open_url(url) as store:
            return await store.effect(scope, name, call, reconcile=reconcile)

    return asyncio.run(ask())


def test_effects(invoke: Invoke, url: str) -> None:
    invoke("set", "a", "1")
    assert invoke("effects").stderr == "No effect is open.\n"
    first, second = leave_open(url, "book:acme:1", "order"), leave_open(url, "book:acme:2", "a:b")
    shown = invoke("effects")
    assert (shown.exit_code, shown.stderr) == (0, "2 effects are open\n")
    lines = [line.split("\t") for line in shown.stdout.splitlines()]
    assert [line[:3] for line in lines] == [["book:acme:1", "order", first], ["book:acme:2", "a:b", second]]
    assert all(line[4] == "unknown, tries: 1" and "hung up" in line[5] for line in lines)
    assert "geheim" not in shown.stdout
    assert "\x1b" not in shown.stdout
    [listed, _] = json.loads(invoke("effects", "list", "--json").stdout)
    assert (listed["effect_id"], listed["is_running"]) == (first, False)

    decided = invoke("effects", "resolve", "book:acme:1", "order", "--applied", '{"id": 7}')
    assert (decided.exit_code, decided.stderr) == (0, "decided\n")
    assert invoke("effects", "resolve", "book:acme:2", "a:b", "--not-applied").exit_code == 0
    assert result_of(url, "book:acme:1", "order") == {"id": 7}
    assert result_of(url, "book:acme:2", "a:b") == "made now"
    assert invoke("effects", "resolve", "book:acme:2", "a:b", "--not-applied").exit_code == 1


def test_what_resolve_needs(invoke: Invoke, url: str) -> None:
    invoke("set", "a", "1")
    for arguments in (
        [],
        ["s", "n"],
        ["s", "n", "--applied", "1", "--not-applied"],
        ["s", "--not-applied"],
        ["s", "n", "--applied", "{"],
    ):
        answer = invoke("effects", "resolve", *arguments)
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert "hint:" in answer.stderr
