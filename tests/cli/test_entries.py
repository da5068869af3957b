"""get, set, delete, exists, ttl."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Invoke
from tests.cli.support import fill, run

VALUES = [
    '{"status":"draft","lines":[1,2.0,-0.0,1e+22,true,null]}',
    "[]",
    "{}",
    "0",
    "-5",
    "null",
    "false",
    '""',
    '"ä \\u0000 \\n"',
    "9" * 5000,
]


@pytest.mark.parametrize("text", VALUES, ids=range(len(VALUES)))
def test_what_was_set_is_what_get_prints(text: str, url: str) -> None:
    assert run("set", "order:1", text, "--url", url).returncode == 0
    done = run("get", "order:1", "--url", url, "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{text}\n", "")


def test_get_is_indented_for_people_and_compact_for_programs(invoke: Invoke, url: str) -> None:
    fill(url, {"deal:1": {"price": 1.0, "name": "Ä"}})
    assert invoke("get", "deal:1").stdout == '{\n  "price": 1.0,\n  "name": "Ä"\n}\n'
    assert invoke("get", "deal:1", "--json").stdout == '{"price":1.0,"name":"Ä"}\n'
    assert invoke("--json", "get", "deal:1").stdout == '{"price":1.0,"name":"Ä"}\n'


def test_get_of_nothing_is_not_found_with_an_empty_standard_output(invoke: Invoke, url: str) -> None:
    fill(url, {})
    done = invoke("get", "deal:1", "--json")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "not found: 'deal:1'\n")


def test_control_characters_of_a_value_reach_no_terminal(invoke: Invoke, url: str) -> None:
    fill(url, {"deal:1": "\x9b31m\x1b[31m\x7f"})
    assert invoke("get", "deal:1").stdout == '"\\u009b31m\\u001b[31m\\u007f"\n'


def test_set_reads_standard_input(invoke: Invoke) -> None:
    assert invoke("set", "deal:1", "-", stdin='{"a":\r\n1}\n').exit_code == 0
    assert json.loads(invoke("get", "deal:1").stdout) == {"a": 1}


def test_set_takes_text_as_it_is(invoke: Invoke) -> None:
    assert invoke("set", "deal:1", '{"a"', "--string").exit_code == 0
    assert json.loads(invoke("get", "deal:1").stdout) == '{"a"'
    assert invoke("set", "deal:1", "-", "--string", stdin="line\r\n").exit_code == 0
    assert json.loads(invoke("get", "deal:1").stdout) == "line\r\n"


def test_set_says_what_it_did(invoke: Invoke) -> None:
    quiet, programs = invoke("set", "deal:1", "1"), invoke("set", "deal:1", "1", "--json")
    assert (quiet.stdout, quiet.stderr) == ("", "stored 'deal:1'\n")
    assert (programs.stdout, programs.stderr) == ('{"deal:1":true}\n', "")


@pytest.mark.parametrize("text", ["draft", "{'a': 1}", "{", "", "[" * 100_000])
def test_set_of_what_is_no_json_shows_how_to_quote_and_opens_nothing(invoke: Invoke, text: str) -> None:
    done = invoke("set", "deal:1", text)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "VALUE is not JSON" in done.stderr
    assert 'set KEY \'{"status": "draft"}\'' in done.stderr
    assert "--string" in done.stderr


def test_set_of_input_that_is_no_utf8(url: str) -> None:
    done = run("set", "deal:1", "-", "--url", url, stdin=b"\xff")
    assert done.returncode == 2
    assert "not UTF-8" in done.stderr


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", '"\\ud800"', '{"a": [NaN]}'])
def test_set_of_what_a_store_cannot_carry_is_wrong_usage(invoke: Invoke, text: str) -> None:
    invoke("set", "deal:1", "1")
    assert invoke("set", "deal:1", text).exit_code == 2
    assert invoke("get", "deal:1").stdout == "1\n"


def test_a_wrong_option_of_set_is_no_value(invoke: Invoke) -> None:
    assert invoke("set", "deal:1", "1", "--tll", "5").exit_code == 2


def test_ttl(invoke: Invoke) -> None:
    invoke("set", "quote:1", "1", "--ttl", "86400")
    assert 86_390 < float(invoke("ttl", "quote:1").stdout) <= 86_400
    assert 86_390 < json.loads(invoke("ttl", "quote:1", "--json").stdout) <= 86_400
    invoke("set", "quote:1", "1", "--ttl", "0.5")
    assert float(invoke("ttl", "quote:1").stdout) <= 0.5


def test_ttl_without_expiry_and_of_nothing(invoke: Invoke) -> None:
    invoke("set", "quote:1", "1")
    assert invoke("ttl", "quote:1").stdout == "never\n"
    assert invoke("ttl", "quote:1", "--json").stdout == "null\n"
    assert invoke("ttl", "quote:2").exit_code == 1


@pytest.mark.parametrize("ttl", ["0", "-1", "nan", "inf", "1e300", "soon"])
def test_a_wrong_ttl_is_wrong_usage(invoke: Invoke, ttl: str) -> None:
    assert invoke("set", "quote:1", "1", "--ttl", ttl).exit_code == 2
    assert invoke("get", "quote:1").exit_code == 1


def test_exists_and_delete_name_those_that_are_there(invoke: Invoke, url: str) -> None:
    fill(url, {"a": 1, "b": None})
    for command in ("exists", "delete"):
        done = invoke(command, "a", "nothing", "b", "a")
        assert (done.exit_code, done.stdout, done.stderr) == (1, "a\nb\n", "not found: 'nothing'\n")
    done = invoke("exists", "a")
    assert (done.exit_code, done.stdout) == (1, "")


def test_exists_and_delete_for_programs(invoke: Invoke, url: str) -> None:
    fill(url, {"a": 1})
    for command in ("exists", "delete"):
        done = invoke(command, "a", "b", "--json")
        assert (done.exit_code, json.loads(done.stdout), done.stderr) == (1, {"a": True, "b": False}, "")
    fill(url, {"a": 1})
    assert invoke("delete", "a").exit_code == 0


def test_a_key_may_look_like_an_option(invoke: Invoke) -> None:
    assert invoke("set", "--", "--json", '"--string"').exit_code == 0
    assert invoke("get", "--", "--json").stdout == '"--string"\n'


@pytest.mark.parametrize("key", ["", "x" * 3000, "\udc80"])
def test_a_wrong_key_is_wrong_usage(invoke: Invoke, url: str, key: str) -> None:
    fill(url, {})
    done = invoke("get", key)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "error: A key must" in done.stderr or "error: A key has" in done.stderr
