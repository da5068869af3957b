"""Rules of retention: what is refused, in a program and in a file, and which moments of a record they read."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage import (
    InvalidArgumentError,
)
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.operations import (
    RetentionRule,
    read_rules,
    retain,
)
from ad_seller.storage.operations.fields import period_of, replaced_at, seconds_at, shown_period, values_at
from tests.operations.test_retention import DAY, NOW, ORDERS, applied, order

SOUND: dict[str, Any] = {"name": "a", "prefix": "x:", "since": "t", "older_than": 5}

#: Parts of another type than they should be, as a file or a program may have them.
ODD: list[tuple[dict[str, Any], str]] = [
    ({"prefix": 5}, "prefix=5, which is no text"),
    ({"log": ["x"]}, "log=.*, which is no text"),
    ({"since": None}, "since=None, which is no text"),
    ({"by": 5}, "by=5, which is no list"),
    ({"by": "status"}, "by='status', which is no list"),
    ({"where": {"status": "completed"}}, "where=.* a list of values"),
    ({"older_than": "30d"}, "older_than='30d', which is no number"),
    ({"older_than": True}, "older_than=True, which is no number"),
    ({"minimum_age": None}, "minimum_age=None, which is no number"),
]

LONG = "x" * 3_000

#: Parts that no key can fit, or no record.
UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"prefix": "x\0"}, r"'a' has prefix='x.x00': A key must not contain NUL"),
    ({"prefix": "x\ud800"}, r"'a' has prefix='x.ud800': A key must not contain lone surrogates"),
    ({"prefix": LONG}, "'a' has prefix='xxx.*: A key has at most 2048 bytes"),
    ({"prefix": "", "since": "", "log": "x\0"}, r"'a' has log='x.x00': A key must not contain NUL"),
    ({"prefix": "", "since": "", "outbox": LONG}, "'a' has outbox='xxx.*: A key has at most 2048 bytes"),
    ({"prefix": "", "since": "", "log": "x", "by": ("ok", "x\0")}, r"'a' has by=.*cannot be read by 'x.x00'"),
    ({"prefix": "", "since": "", "log": "x", "by": (LONG,)}, "'a' has by=.*cannot be read by 'xxx"),
    ({"prefix": "", "since": "", "log": "x", "by": ("",)}, r"'a' has by=\(''.*a name or a path"),
    ({"since": "a..b"}, r"'a' has since='a\.\.b': since is a field"),
    ({"where": {"a..b": ("x",)}}, r"'a' has where=.*not 'a\.\.b'"),
    ({"where": {5: ("x",)}}, "'a' has where=.*, not 5"),
    ({"name": "a\ud800"}, r"'a.ud800' has name='a.ud800': .*lone surrogate"),
]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([RetentionRule("", "x:", since="t", older_than=5)], "The rule '' has no name"),
        ([RetentionRule("a")], "needs a prefix"),
        ([RetentionRule("a", "x:", log="y", older_than=1)], "or an outbox"),
        ([RetentionRule("a", outbox="x", since="t", older_than=5)], "takes no since"),
        ([RetentionRule("a", outbox="x", by=("f",), older_than=5)], "for logs"),
        ([RetentionRule("a", log="x", where={"f": (1,)}, older_than=5)], "takes no where"),
        ([RetentionRule("a", "x:", since="t")], "older_than or keep_newest"),
        ([RetentionRule("a", "x:", since="t", older_than=1, keep_newest=1)], "older_than or keep_newest"),
        ([RetentionRule("a", "x:", older_than=1)], "'a' has since='': since is a field"),
        ([RetentionRule("a", "x:", since="t", older_than=5, minimum_age=9)], "than 5 seconds, .* than 9 seconds"),
        ([RetentionRule("a", "x:", since="t", older_than=2_592_000, minimum_age=8e6)], "30 days, .* 8,000,000 s"),
        ([RetentionRule("a", "x:", since="t", keep_newest=-1)], "no whole number"),
        ([RetentionRule("a", log="x", since="t", older_than=5)], "takes no since"),
        ([RetentionRule("a", "x:", by=("f",), since="t", older_than=5)], "for logs"),
        ([RetentionRule("a", "retention:", since="case.since", older_than=5)], "where the holds stand"),
        ([RetentionRule("a", "ns:publisher-a:order:", since="at", older_than=5)], "reaches into namespaces"),
        ([RetentionRule("a", "n", since="at", older_than=5)], "reaches into namespaces"),
        *(([RetentionRule(**{**SOUND, **odd})], f"'a' has {words}") for odd, words in ODD),
        *(([RetentionRule(**{**SOUND, **part})], words) for part, words in UNFIT),
        ([ORDERS, ORDERS], "Two rules are called"),
        ([ORDERS, replace(ORDERS, name="b", prefix="order:ORD-")], "contradict each other"),
        ([ORDERS, replace(ORDERS, name="b", where={})], "contradict each other"),
        ([ORDERS, replace(ORDERS, name="b", where={"status": ("draft", "completed")})], "contradict each other"),
    ],
)
async def test_rules_that_are_refused(rules: list[RetentionRule], words: str) -> None:
    async with MemoryBackend() as store:
        await store.set("order:1", order(90))
        with pytest.raises(InvalidArgumentError, match=words):
            await applied(store, rules)
        with pytest.raises(InvalidArgumentError, match=words):
            await retain(store, rules)
        assert await store.exists("order:1")
        both = [ORDERS, replace(ORDERS, name="b", where={"status": ("draft",)})]
        assert len(await applied(store, both)) == 2


def test_rules_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(
        '[[rules]]\nname = "a"\nprefix = "order:"\nsince = "t"\nolder_than = "400d"\nminimum_age = 5\n'
        'where = { status = ["completed"], kind = "x" }\n[[rules]]\nname = "b"\nlog = "event"\nkeep_newest = 9\n'
    )
    rules = read_rules(file)
    assert rules == [
        RetentionRule(
            "a", "order:", since="t", older_than=400 * DAY, minimum_age=5.0,
            where={"status": ("completed",), "kind": ("x",)},
        ),
        RetentionRule("b", log="event", keep_newest=9),
    ]  # fmt: skip
    other = tmp_path / "rules.json"
    other.write_text(json.dumps({"rules": [{"name": "b", "log": "event", "keep_newest": 9}]}))
    assert read_rules(other) == rules[1:]
    whole = {**{one.name: getattr(rules[0], one.name) for one in fields(RetentionRule)}, "minimum_age": 400 * DAY}
    other.write_text(json.dumps({"rules": [whole]}))  # what has just reached that age may go
    assert read_rules(other) == [replace(rules[0], minimum_age=400 * DAY)]
    for text in ("", "rules = 5", "[[rules]]\nname = 5", "[[rules]]\nname = 'a'\nolder = 5", "x = ", "rules = []"):
        file.write_text(text)
        with pytest.raises(InvalidArgumentError):
            read_rules(file)
    for line, words in (("prefix = 5", "prefix=5"), ("by = 5", "by=5"), ("by = 'status'", "by='status'")):
        file.write_text(f"[[rules]]\nname = 'a'\nkeep_newest = 5\n{line}")
        with pytest.raises(InvalidArgumentError, match=f"The rule 'a' has {words}, which is no"):
            read_rules(file)
    file.write_text("[[rules]]\nname = 'a'\nwhere = 'status'")
    with pytest.raises(InvalidArgumentError, match=r"where of the rule 'a' is .*, not 'status'"):
        read_rules(file)
    for period in ("5", "5 years", "-5d", -1, True, None, float("inf"), 10**400, f"{10**400}d"):
        with pytest.raises(InvalidArgumentError, match=r"number with a unit \(s, min, h, d, w, y\) such as"):
            period_of(period, "x")
    assert (period_of("1.5 h", "x"), period_of(7, "x"), period_of("2w", "x")) == (5400.0, 7.0, 14 * DAY)


def test_a_period_is_shown_in_the_largest_unit_that_says_it_whole() -> None:
    shown = {
        2 * DAY: "2 days",
        DAY: "24 hours",
        7_200: "2 hours",
        3_600: "60 minutes",
        120: "2 minutes",
        60: "60 seconds",
        0.5: "0.5 seconds",
    }
    assert {seconds: shown_period(seconds) for seconds in shown} == shown


def test_places_in_records() -> None:
    record = {"a": [{"b": 1}, {"b": 2}], "t": "2026-11-28T01:00:00+01:00", "n": "2026-11-28"}
    assert values_at(record, ("a", "*", "b")) == [1, 2]
    assert values_at(record, ("a", "-1", "b")) == [2]
    assert values_at(record, ("a", "b")) == values_at(record, ("t", "x")) == values_at({"a": []}, ("a", "-1")) == []
    assert seconds_at(record, ("t",)) == seconds_at(record, ("n",)) == NOW
    odd: tuple[Any, ...] = (None, True, [], "x", {})
    assert [seconds_at({"t": one}, ("t",)) for one in odd] == [None] * 5
    no_times = (0, 7, -1e300, "1970-01-01T00:00:00Z", 10**400, 1_764_000_000_000, "9999-12-31")
    assert [seconds_at({"t": one}, ("t",)) for one in no_times] == [None] * 7
    assert seconds_at({"t": 631_152_000}, ("t",)) == 631_152_000.0
    changed = replaced_at(record, ("a", "*", "b"), lambda value: -value)
    assert (changed["a"], record["a"]) == ([{"b": -1}, {"b": -2}], [{"b": 1}, {"b": 2}])
    assert replaced_at(record, ("a", "-1", "b"), str)["a"] == [{"b": 1}, {"b": "2"}]
    assert replaced_at(record, ("nothing", "here"), str) == record
