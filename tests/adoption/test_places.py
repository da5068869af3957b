"""Places in the code and settings that `adopt` names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.adoption.conftest import Adopt, as_json


def places(answer: dict[str, Any], rule: str) -> set[tuple[str, int]]:
    return {(Path(each["file"]).name, each["line"]) for each in answer["findings"] if each["rule"] == rule}


def line_of(path: Path, text: str) -> tuple[str, int]:
    return path.name, next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_places_of_the_stand_in(agent: Path, adopt: Adopt) -> None:
    answer = as_json(adopt("--json"))
    services = agent / "src" / "ad_seller" / "services"
    assert places(answer, "newest-keys") == {line_of(services / "events.py", "keys[-limit:]")}
    assert len(places(answer, "own-idempotency")) == 2
    changed = places(answer, "read-change-write")
    assert line_of(services / "selling.py", "await storage.set_quote(quote_id, quote)") in changed
    assert line_of(services / "house.py", 'await storage.set("rate_card:current", card)') in changed
    assert not [place for place in changed if place[0] in ("together.py", "trust_log.py")]
    assert all(each["why"] and each["cure"] for each in answer["findings"])


CODE = """
async def newest(storage, limit):
    names = [key for key in await storage.keys("event:*") if key]
    return names[-limit:], (await storage.list_deals())[-1], sorted(names)[-1]

async def plain(items, cache):
    items.get("a"), cache.set("a", 1)
    return items[-1]

async def older(storage):
    await storage.set("cache:x", 1, ttl=0)
    await storage.keys("deal:[ab]*")
    await storage.list_quotes({"buyer_id": "b"})
    record = await storage.get_deal("d")
    await storage.set_deal("e", record)

class Own(StorageBackend): ...
"""


def test_patterns(agent: Path, adopt: Adopt) -> None:
    path = agent / "src" / "ad_seller" / "services" / "more.py"
    path.write_text(CODE)
    answer = as_json(adopt("--json"))
    found = [(each["rule"], each["text"]) for each in answer["findings"] if each["file"].endswith("more.py")]
    assert sorted(rule for rule, _ in found) == [
        "newest-keys",
        "newest-keys",
        "own-backend",
        "pattern-class",
        "quotes-by-buyer",
        "ttl-zero",
    ]
    assert "sorted" not in " ".join(text for _, text in found)


def test_code_that_cannot_be_parsed_is_named(agent: Path, adopt: Adopt) -> None:
    (agent / "src" / "ad_seller" / "broken.py").write_text("def :\n")
    assert places(as_json(adopt("--json")), "code-unreadable") == {("broken.py", 1)}


def test_settings(agent: Path, adopt: Adopt) -> None:
    (agent / ".env.example").write_text(
        "STORAGE_TYPE=postgresql\n# STORAGE_BACKEND=redis\nexport STORAGE_BACKEND=redis\n"
    )
    answer = as_json(adopt("--json", "--no-data"))
    assert places(answer, "type-unknown") == {(".env.example", 1)}
    assert places(answer, "setting-unread") == {(".env.example", 3), ("compose.yml", 6)}
    assert places(answer, "evicting-redis") == {("compose.yml", 11)}
    assert places(answer, "url-without-password") == {("compose.yml", 7)}


def test_settings_of_tasks_in_two_lines(agent: Path, adopt: Adopt) -> None:
    (agent / "main.tf").write_text('env {\n  name  = "STORAGE_TYPE"\n  value = "postgresql"\n}\n')
    (agent / "compute.yaml").write_text("- Name: STORAGE_BACKEND\n  Value: hybrid\n")
    answer = as_json(adopt("--json", "--no-data"))
    assert places(answer, "type-unknown") == {("main.tf", 3)}
    assert ("compute.yaml", 2) in places(answer, "setting-unread")


def test_no_password_is_shown(agent: Path, adopt: Adopt) -> None:
    (agent / "redis.conf").write_text("requirepass s3cret --maxmemory-policy allkeys-lru --requirepass s3cret\n")
    lines = (
        (agent / "requirements.txt").read_text().replace("uvicorn", "uvicorn @ https://me:s3cret@example.org/u.whl")
    )
    (agent / "requirements.txt").write_text(lines)
    for options in ([], ["--json"]):
        done = adopt(*options)
        assert done.exit_code == 0
        assert "s3cret" not in done.output


def test_an_env_file_of_an_unknown_encoding(agent: Path, adopt: Adopt) -> None:
    (agent / ".env").write_bytes("STORAGE_TYPE=sqlite # gr\u00fc\u00dfe".encode("latin-1"))
    answer = as_json(adopt("--json"))
    assert places(answer, "text-unreadable") == {(".env", 1)}
    assert "UTF-8" in answer["data"]["problem"]
