"""What the kit can be pointed at, and what it says otherwise."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import pytest

from ad_seller.storage import ConfigurationError, StorageBackend, open_url
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.sqlite_backend import SQLiteBackend
from ad_seller.storage.testing.target import Target, empty
from tests.broken.bases import SevenBackend

HERE = "tests.testing.backends"
SQLITE = "ad_seller.storage.sqlite_backend:SQLiteBackend"


@pytest.mark.parametrize(
    ("spec", "url", "kind"),
    [
        ("sqlite:///{folder}/a.db", None, SQLiteBackend),
        ("memory://", None, MemoryBackend),
        (SQLITE, "sqlite:///{folder}/a.db", SQLiteBackend),
        (f"{HERE}:in_folder", None, SQLiteBackend),
        (f"{HERE}:plain", None, SevenBackend),
        (f"{HERE}:SevenBackend", None, SevenBackend),
    ],
)
def test_makes_a_backend_also_in_another_process(
    spec: str, url: str | None, kind: type[StorageBackend], tmp_path: Path
) -> None:
    target = Target(spec, url).at(tmp_path)
    for backend in (target(), pickle.loads(pickle.dumps(target))()):
        assert type(backend) is kind
        assert not isinstance(backend, SQLiteBackend) or Path(backend.path).parent == tmp_path


@pytest.mark.parametrize(
    ("spec", "url", "is_new"),
    [
        ("sqlite:///{folder}/a.db", None, True),
        ("sqlite:///a.db", None, False),
        ("memory://", None, False),
        (SQLITE, "sqlite:///{folder}/a.db", True),
        (SQLITE, "sqlite:///a.db", False),
        (f"{HERE}:in_folder", None, True),
        (f"{HERE}:plain", None, False),
    ],
)
def test_knows_whether_each_check_has_a_store_of_its_own(spec: str, url: str | None, is_new: bool) -> None:
    assert Target(spec, url).is_new_each_time is is_new


@pytest.mark.parametrize(
    ("spec", "url", "words"),
    [
        ("no_such_module:X", None, ["no module 'no_such_module'", "module:Class"]),
        ("tests.testing.no_such:X", None, ["no module 'tests.testing.no_such'"]),
        (f"{HERE}:Nobody", None, ["has no Nobody"]),
        (f"{HERE}:NUMBER", None, ["neither a class nor a function"]),
        (f"{HERE}:Path", None, ["no subclass of StorageBackend"]),
        (f"{HERE}:Incomplete", None, ["lacks: delete, disconnect, exists, get, keys, set"]),
        (f"{HERE}:Demanding", None, ["needs tenant", "folder"]),
        (f"{HERE}:nothing", None, ["makes None", "no StorageBackend"]),
        (f"{HERE}:asynchronous", None, ["is async"]),
        (f"{HERE}:plain", "sqlite:///a.db", ["takes no database_url"]),
        (SQLITE, None, ["takes a database_url", "--url", "{folder}"]),
        ("just-words", None, ["neither a URL nor module:Class"]),
        ("module:", None, ["neither a URL nor module:Class"]),
        ("ftp://host", None, ["No storage type fits"]),
    ],
)
def test_what_it_cannot_be_pointed_at(spec: str, url: str | None, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Target(spec, url).at(tmp_path)()
    for word in words:
        assert word in str(caught.value)


def test_a_module_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conform_broken_module.py").write_text("1 / 0")
    (tmp_path / "conform_needy_module.py").write_text("import conform_not_installed")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError, match="cannot be imported: ZeroDivisionError: division by zero"):
        Target("conform_broken_module:X")()
    with pytest.raises(ConfigurationError, match="needs the module 'conform_not_installed'"):
        Target("conform_needy_module:X")()


def test_a_store_with_entries_is_left_alone_unless_it_may_be_erased(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"

    async def stored() -> list[str]:
        async with open_url(url) as backend:
            return await backend.keys()

    async def fill() -> None:
        async with open_url(url) as backend:
            await backend.set_many({"deal:1": {}, "deal:2": {}})

    asyncio.run(fill())
    with pytest.raises(ConfigurationError, match=r"not empty: it has 2 keys.*--erase-store"):
        asyncio.run(empty(Target(url), erase=False))
    assert asyncio.run(stored()) == ["deal:1", "deal:2"]
    asyncio.run(empty(Target(url), erase=True))
    assert asyncio.run(stored()) == []
