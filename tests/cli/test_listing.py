"""keys, list, count."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ad_seller.storage import PREFIXES
from ad_seller.storage.cli import listing
from ad_seller.storage.cli.app import app
from tests.cli.conftest import Invoke
from tests.cli.support import fill, run

ORDERS = {f"order:{n:03}": {"status": "booked" if n % 3 else "draft", "n": n} for n in range(25)}


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 4)


def records(invoke: Invoke, *arguments: str) -> dict[str, Any]:
    done = invoke("list", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    page = json.loads(done.stdout)
    assert set(page) == {"items", "cursor"}
    return {"keys": [item["key"] for item in page["items"]], **page}


def test_keys_over_many_pages(invoke: Invoke, url: str) -> None:
    fill(url, ORDERS | {"deal:1": 1, "order": 1})
    assert invoke("keys", "order:*").stdout.splitlines() == list(ORDERS)
    assert json.loads(invoke("keys", "order:*", "--json").stdout) == list(ORDERS)
    assert invoke("keys").stdout.splitlines() == ["deal:1", "order", *ORDERS]


def test_keys_of_nothing_is_no_failure(invoke: Invoke, url: str) -> None:
    fill(url, {})
    done = invoke("keys", "order:*")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(invoke("keys", "--json").stdout) == []


def test_keys_with_newlines_can_be_told_apart(invoke: Invoke, url: str) -> None:
    fill(url, {"a\nb": 1, "c": 1})
    assert invoke("keys", "-0").stdout == "a\nb\0c\0"
    assert json.loads(invoke("keys", "--json").stdout) == ["a\nb", "c"]


def test_the_newest_first_page_by_page(invoke: Invoke, url: str) -> None:
    fill(url, ORDERS)
    page = records(invoke, "orders", "--newest", "--limit", "6")
    assert page["keys"] == list(ORDERS)[:-7:-1]
    rest = records(invoke, "orders", "--newest", "--cursor", page["cursor"])
    assert rest["keys"] == list(ORDERS)[-7::-1]
    drafts = records(invoke, "orders", "--newest", "--filter", "status=draft", "--limit", "2")
    assert drafts["keys"] == ["order:024", "order:021"]


def test_count(invoke: Invoke, url: str) -> None:
    fill(url, ORDERS)
    assert invoke("count").stdout == "25\n"
    assert invoke("count", "order:00?", "--json").stdout == "10\n"
    assert invoke("count", "nothing").stdout == "0\n"


def test_list_prints_a_line_for_each_entry(invoke: Invoke, url: str) -> None:
    fill(url, {"order:1": {"a": [1, None]}, "order:2": "Ä", "orders": 1})
    assert invoke("list", "orders").stdout == 'order:1\t{"a":[1,null]}\norder:2\t"Ä"\n'


@pytest.mark.parametrize("entity", PREFIXES)
def test_list_knows_every_entity_in_singular_and_plural(invoke: Invoke, url: str, entity: str) -> None:
    fill(url, {f"{prefix}1": prefix for prefix in PREFIXES.values()} | {"agent_url_index:x": "1"})
    for name in (entity, f"{entity}s"):
        assert records(invoke, name)["keys"] == [f"{PREFIXES[entity]}1"]


def test_list_takes_a_pattern(invoke: Invoke, url: str) -> None:
    fill(url, ORDERS)
    assert records(invoke, "order:02*")["keys"] == [f"order:02{n}" for n in range(5)]


def test_list_of_a_word_that_is_no_kind_names_the_nearest(invoke: Invoke, url: str) -> None:
    fill(url, {"order:1": {}, "counter": 1})
    done = invoke("list", "ordres")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Did you mean orders?" in done.stderr
    done = invoke("list", "counter")
    assert (done.exit_code, done.stdout) == (0, "counter\t1\n"), "it is a key"
    assert invoke("list", "order").stdout == invoke("list", "orders").stdout == "order:1\t{}\n"


@pytest.mark.parametrize(
    "command",
    [("keys",), ("count",), ("list", "orders"), ("get", "a"), ("exists", "a"), ("ttl", "a"), ("delete", "a")],
)
@pytest.mark.parametrize("way", ["option", "environment", "file"])
def test_looking_makes_no_store(
    command: tuple[str, ...], way: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*command]
    if way == "option":
        arguments += ["--url", "sqlite:///./mistyped.db"]
    elif way == "environment":
        monkeypatch.setenv("DATABASE_URL", "sqlite:///./mistyped.db")
    else:
        (directory / ".env").write_text("database_url=sqlite:///./mistyped.db\n")
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "not found: there is no file './mistyped.db'" in done.stderr
    assert not list(directory.glob("*.db*"))


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 24, 25, 26])
@pytest.mark.parametrize("filters", [(), ("status=draft",), ("status=booked",)])
def test_pages_put_together_are_the_whole(invoke: Invoke, url: str, limit: int, filters: tuple[str, ...]) -> None:
    fill(url, ORDERS)
    options = [part for text in filters for part in ("--filter", text)]
    wanted = [key for key, order in ORDERS.items() if not filters or f"status={order['status']}" in filters]
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = records(invoke, "orders", "--limit", str(limit), *options, *(["--cursor", cursor] if cursor else []))
        assert len(page["keys"]) <= limit
        found += page["keys"]
        cursor = page["cursor"]
        if cursor is None:
            break
        assert len(page["keys"]) == limit
    assert found == wanted


def test_list_says_how_to_go_on(invoke: Invoke, url: str) -> None:
    fill(url, ORDERS)
    done = invoke("list", "orders", "--limit", "2")
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.startswith("more: --cursor ")
    following = invoke("list", "orders", "--limit", "1", *done.stderr.split()[1:])
    assert following.stdout.startswith("order:002\t")


def test_filters(invoke: Invoke, url: str) -> None:
    fill(
        url,
        {
            "quote:1": {"status": "open", "round": 2, "product": {"product_id": "display"}, "live": True},
            "quote:2": {"status": None, "round": "2", "product": "display"},
            "quote:3": ["status"],
            "quote:4": {},
        },
    )
    assert records(invoke, "quotes", "--filter", "status=open")["keys"] == ["quote:1"]
    assert records(invoke, "quotes", "--filter", "status=null")["keys"] == []
    assert records(invoke, "quotes", "--filter", "round=2")["keys"] == ["quote:1", "quote:2"]
    assert records(invoke, "quotes", "--filter", "live=true")["keys"] == ["quote:1"]
    assert records(invoke, "quotes", "--filter", "product.product_id=display")["keys"] == ["quote:1"]
    assert records(invoke, "quotes", "--filter", "round=2", "--filter", "status=")["keys"] == []


@pytest.mark.parametrize("text", ["status", "=draft", ""])
def test_a_wrong_filter_is_wrong_usage(invoke: Invoke, text: str) -> None:
    done = invoke("list", "orders", "--filter", text)
    assert done.exit_code == 2
    assert "FIELD=VALUE" in done.stderr


@pytest.mark.parametrize("arguments", [("--limit", "0"), ("--limit", "x"), ("--cursor", "no cursor")])
def test_a_wrong_limit_or_cursor_is_wrong_usage(invoke: Invoke, url: str, arguments: tuple[str, ...]) -> None:
    fill(url, {})
    assert invoke("list", "orders", *arguments).exit_code == 2


def test_a_corrupt_entry_is_left_out_reported_and_still_a_key(invoke: Invoke, url: str, directory: Path) -> None:
    fill(url, ORDERS)
    with sqlite3.connect(directory / "store.db") as database:
        database.execute("UPDATE kv_store SET value = '{' WHERE key = 'order:005'")
    database.close()
    done = invoke("list", "orders", "--json")
    assert done.exit_code == 4
    assert [item["key"] for item in json.loads(done.stdout)["items"]] == [k for k in ORDERS if k != "order:005"]
    assert done.stderr.count("'order:005'") == 1
    keys = invoke("keys")
    assert (keys.exit_code, keys.stdout.splitlines()) == (0, list(ORDERS))
    assert invoke("get", "order:005").exit_code == 4


def test_real_pages_in_a_real_process(url: str) -> None:
    fill(url, {f"event:{n:05}": {"n": n} for n in range(3500)})
    done = run("keys", "event:*", "--url", url)
    assert done.stdout.splitlines() == [f"event:{n:05}" for n in range(3500)]
    page = json.loads(run("list", "event:*", "--limit", "2100", "--json", "--url", url).stdout)
    assert [item["value"]["n"] for item in page["items"]] == list(range(2100))
    assert page["cursor"] is not None
