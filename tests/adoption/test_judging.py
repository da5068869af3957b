"""What `adopt` makes of a checkout: files judged by what they define, places in the code, settings, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ad_seller.storage.cli.adopt import files
from ad_seller.storage.cli.adopt.definitions import fingerprint, read_definitions
from tests.adoption.conftest import Adopt, as_json, assert_refused, commit
from tests.adoption.stand_in import snapshot

STORAGE = Path("src/ad_seller/storage")


def verdicts(answer: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {Path(each["file"]).name: (each["verdict"], " ".join(each["reasons"])) for each in answer["files"]}


METHOD = "    async def get_campaign(self, id): ...\n\n"

#: An edit of a storage file, and what is said about it.
EDITS = {
    "a method more": ("base.py", "    async def list_deals", f"{METHOD}    async def list_deals", "get_campaign"),
    "a class more": ("sqlite_backend.py", "class SQLite", "class Cache: ...\n\n\nclass SQLite", "Cache"),
    "a name more": ("factory.py", "_shared = {}", "_shared = {}\nTIMEOUT = 5", "TIMEOUT"),
    "another prefix": ("base.py", '"deal:"', '"booking:"', "booking:"),
    "another table": ("sqlite_backend.py", "kv_store", "state", "kv_store"),
    "another default": ("base.py", "ttl: int = 86400", "ttl: int = 3600", "ttl=3600"),
    "another key prefix": ("redis_backend.py", '"ad_seller:"', '"seller:"', "seller:"),
    "a parameter more": ("redis_backend.py", '"ad_seller:"', '"ad_seller:", tls: bool = False', "tls"),
    "another library": ("sqlite_backend.py", "import json", "import json\nimport cryptography", "cryptography"),
    "other keys on Redis": ("hybrid_backend.py", '"rate_limit:"', '"rate_limit:", "quote:"', "quote:"),
    "names handed on": ("__init__.py", "__all__", "from .quote_book import QuoteBook\n\n__all__", "QuoteBook"),
    "no Python": ("base.py", "class StorageBackend", "class class", "parsed"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_file_is_reported_and_kept(agent: Path, adopt: Adopt, name: str) -> None:
    file, old, new, word = EDITS[name]
    path = agent / STORAGE / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    commit(agent)
    before = snapshot(agent)
    verdict, reason = verdicts(as_json(adopt("--json")))[file]
    assert verdict == "edited"
    assert word in reason
    assert_refused(adopt("--apply"), file, word, "--replace")
    assert snapshot(agent) == before


def test_an_edited_file_is_replaced_when_told(agent: Path, adopt: Adopt) -> None:
    path = agent / STORAGE / "base.py"
    path.write_text(path.read_text() + "\n\nclass Other: ...\n")
    commit(agent)
    assert adopt("--apply", "--replace", "base.py").exit_code == 0
    assert not path.exists()


def test_replacing_a_file_that_is_not_there(adopt: Adopt) -> None:
    assert_refused(adopt("--apply", "--replace", "bas.py"), "bas.py")


@pytest.fixture
def released(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in's files are those of a release."""
    known: dict[str, dict[str, list[str]]] = {}
    for module in files.OLDER:
        found = read_definitions((agent / STORAGE / f"{module}.py").read_bytes())
        known[module] = {name: [fingerprint(function)] for name, function in found.functions.items()}
    monkeypatch.setattr(files, "_released", lambda: known)


@pytest.mark.usefixtures("released")
def test_a_release_is_recognised(adopt: Adopt) -> None:
    verdict, reason = verdicts(as_json(adopt("--json")))["sqlite_backend.py"]
    assert verdict == "replaced"
    assert "as the public agent released it" in reason


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize(
    ("file", "old", "new", "word"),
    [
        ("sqlite_backend.py", "json.dumps(value), d", "json.dumps(value, default=str), d", "SQLiteBackend.set"),
        ("base.py", "if each and all", "if all", "StorageBackend._all"),
        ("factory.py", "await store.connect()", "await store.connect() or print(1)", "get_storage"),
    ],
)  # fmt: skip
def test_a_release_with_other_code_inside_is_edited(
    agent: Path, adopt: Adopt, file: str, old: str, new: str, word: str
) -> None:
    path = agent / STORAGE / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    verdict, reason = verdicts(as_json(adopt("--json")))[file]
    assert verdict == "edited"
    assert word in reason


def test_the_fingerprints_of_the_releases_are_there() -> None:
    known = files._released()
    assert known.keys() == files.OLDER.keys() - {"__init__"}
    assert all(len(each) == 12 for module in known.values() for prints in module.values() for each in prints)


def test_a_fingerprint_is_of_the_code_alone() -> None:
    def of(source: str) -> str:
        return fingerprint(read_definitions(source.encode()).functions["f"])

    one = of('async def f(a, b=1):\n    """Text."""\n    return f"{a}:{b!r:>3}"\n')
    assert one == of('async def f(a: str, b: int = 1) -> str:\n    # said\n    return f"{a}:{b!r:>3}"\n')
    assert one != of('async def f(a, b=1):\n    return f"{a}:{b!r:>4}"\n')
    assert one != of('def f(a, b=1):\n    return f"{a}:{b!r:>3}"\n')
    # What it is on every version of Python: released.json was made with another one, perhaps.
    assert one == "584787adb389"


def test_a_file_that_only_bears_the_name(agent: Path, adopt: Adopt) -> None:
    (agent / STORAGE / "base.py").write_text("class Base:\n    '''Of an object-relational mapper.'''\n")
    verdict, reason = verdicts(as_json(adopt("--json")))["base.py"]
    assert verdict == "edited"
    assert "Base, not StorageBackend" in reason


def test_a_module_that_ours_would_hide(agent: Path, adopt: Adopt) -> None:
    (agent / STORAGE / "registry.py").write_text("KNOWN = 1\n")
    assert verdicts(as_json(adopt("--json")))["registry.py"][0] == "edited"


def test_comments_and_docstrings_do_not_count(agent: Path, adopt: Adopt) -> None:
    path = agent / STORAGE / "base.py"
    path.write_text(
        "# Ours since 2024: see example:\n" + path.read_text().replace('"""A store', '"""See note: A store')
    )
    assert verdicts(as_json(adopt("--json")))["base.py"][0] == "replaced"


# --- bad input ---------------------------------------------------------------------------------------------


def test_no_directory(adopt: Adopt, tmp_path: Path) -> None:
    assert_refused(adopt(directory=tmp_path / "nowhere"), "no directory")


def test_no_agent(adopt: Adopt, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert_refused(adopt(directory=empty), "no seller agent", "src/ad_seller")


def test_our_own_checkout(adopt: Adopt) -> None:
    assert_refused(adopt(directory=Path(__file__).parents[2]), "itself")


def test_an_agent_without_init(agent: Path, adopt: Adopt) -> None:
    (agent / "src" / "ad_seller" / "__init__.py").unlink()
    commit(agent)
    answer = as_json(adopt("--json", "--apply"))
    assert "does not exist" in answer["notes"][0]
    assert adopt("--undo").exit_code == 0


def test_an_init_that_cannot_be_parsed(agent: Path, adopt: Adopt) -> None:
    (agent / "src" / "ad_seller" / "__init__.py").write_text("def :\n")
    assert_refused(adopt("--apply"), "__init__.py cannot be parsed")


def test_requirements_with_hashes_are_left_alone(agent: Path, adopt: Adopt) -> None:
    (agent / "requirements.txt").write_text("aiosqlite==0.22.1 --hash=sha256:00\n")
    (agent / "uv.lock").write_text("")
    answer = as_json(adopt("--json"))
    assert "requirements.txt" not in {each["file"] for each in answer["changes"]}
    assert "lock file" in answer["notes"][0]


def test_an_init_that_joins_in_a_way_of_its_own(agent: Path, adopt: Adopt) -> None:
    init = agent / "src" / "ad_seller" / "__init__.py"
    init.write_text(
        "from pkgutil import extend_path as e, extend_path\n__path__ = extend_path(__path__, __name__)\n"
    )
    assert "src/ad_seller/__init__.py" not in {each["file"] for each in as_json(adopt("--json"))["changes"]}
    init.write_text("# not extend_path\n")
    assert "src/ad_seller/__init__.py" in {each["file"] for each in as_json(adopt("--json"))["changes"]}


def test_no_place_for_the_dependency(agent: Path, adopt: Adopt) -> None:
    (agent / "pyproject.toml").unlink()
    (agent / "requirements.txt").write_text("fastapi\n")
    assert "ad-seller-storage" in as_json(adopt("--json"))["notes"][0]


def test_a_storage_folder_that_leads_out(agent: Path, adopt: Adopt, tmp_path: Path) -> None:
    (agent / STORAGE).rename(tmp_path / "elsewhere")
    (agent / STORAGE).symlink_to(tmp_path / "elsewhere")
    assert_refused(adopt(), "leads out")


def test_a_file_that_is_a_link(agent: Path, adopt: Adopt) -> None:
    path = agent / STORAGE / "base.py"
    path.rename(agent / "base.txt")
    path.symlink_to(agent / "base.txt")
    assert_refused(adopt("--apply", "--dirty"), "is a link")


def test_the_page_has_no_colours_without_a_terminal(adopt: Adopt) -> None:
    page = adopt().stdout
    assert "\x1b" not in page
    assert "+__path__ = " in page
    assert "Next: " in page
