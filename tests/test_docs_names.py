"""The documentation tells the truth: names of the library, errors, modules, the picture, the reference."""

from __future__ import annotations

import builtins
import inspect
import re
from pathlib import Path

import ad_seller.storage
import ad_seller.storage.fastapi
import ad_seller.storage.operations
import ad_seller.storage.sync
import ad_seller.storage.telemetry
from ad_seller.storage import PREFIXES, Lease, Log, Message, Outbox, StorageBackend, StorageError, Transaction
from ad_seller.storage.hybrid_backend import HybridBackend
from ad_seller.storage.memory_backend import MemoryBackend
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.seller.views import ENTRIES, VIEWS
from ad_seller.storage.sqlite_backend import SQLiteBackend
from tests import api_reference, house_map
from tests.docs_samples import ROOT
from tests.test_docs import every_page, prose, text_of

PACKAGE = ROOT / "src" / "ad_seller" / "storage"


#: Words in code style that are neither ours nor Python's: columns, fields of records, options of engines.
FOREIGN = {
    "kv_store",
    "expires_at",
    "busy_timeout",
    "pricing_key",
    "buyer_id",
    "product_id",
    "order_id",
    "ad_seller",
    # PostgreSQL's
    "statement_cache_size",
    "prepared_statement_cache_size",
    "channel_binding",
    "connect_timeout",
    "ad_seller_kv",
    "ad_seller_kv_commit",
    "ad_seller_kv_field",
    "ad_seller_kv_order_status",
    "ad_seller_schema",
    "ad_seller_storage",
    "TestClient",
    "no_storage_left_open",
    "seller_clock",
    "seller_storage",
    "seller_storage_file",
    "application_name",
    "max_connections",
    "pg_stat_activity",
    "search_path",
    "statement_timeout",
    "synchronous_commit",
    "synchronous_standby_names",
}


class TestNames:
    @every_page
    def test_exist(self, page: Path) -> None:
        known = (
            words_of_the_code()
            if page.name
            in ("CONTRIBUTING.md", "adcp.md", "design.md", "decisions.md", "custom-backend.md", "reference.md")
            else known_names()
        )
        for code in re.findall(r"`([^`\n]+)`", prose(page)):
            for name in re.findall(r"^([A-Za-z]\w*)\(|^([A-Z][a-z]+[A-Z]\w+|[a-z]+_[a-z_]+)$", code):
                assert "".join(name) in known, f"{page.name} mentions `{code}`, which is not there"

    def test_every_error_is_explained(self) -> None:
        page = text_of("docs/contract.md")
        for name in ad_seller.storage.__all__:
            found = getattr(ad_seller.storage, name)
            if isinstance(found, type) and issubclass(found, StorageError):
                assert f"`{name}`" in page

    def test_what_an_error_also_is_is_true(self) -> None:
        rows = re.findall(r"^\| `(\w+Error)` \| (`.*?`) \|", text_of("docs/contract.md"), re.MULTILINE)
        assert len(rows) > 5
        for name, bases in rows:
            for base in re.findall(r"`(\w+)`", bases):
                parent = getattr(builtins, base, None) or getattr(ad_seller.storage, base)
                assert issubclass(getattr(ad_seller.storage, name), parent)

    def test_every_module_is_in_the_design(self) -> None:
        rooms = {path.name for path in PACKAGE.glob("*.py")}
        rooms |= {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
        rows = re.findall(r"^\| (`.*?`) \|", section("docs/design.md", "## The rooms"), re.MULTILINE)
        assert rooms <= {name for row in rows for name in re.findall(r"`([^`]+)`", row)}

    def test_the_picture_of_the_house_is_that_of_the_imports(self) -> None:
        page = text_of("docs/design.md")
        assert "imports" in page
        assert page == house_map.renewed(page), "run: python -m tests.house_map"

    def test_the_reference_is_that_of_the_docstrings(self) -> None:
        assert text_of("docs/reference.md") == api_reference.page(), "run: python -m tests.api_reference"

    def test_every_entity_has_its_row(self) -> None:
        rows = dict(re.findall(r"^\| ([a-z ]+) \| `(\w+:)\{", text_of("docs/contract.md"), re.MULTILINE))
        assert {kind.replace(" ", "_"): prefix for kind, prefix in rows.items()} == PREFIXES


def known_names() -> set[str]:
    """What users can name: the public names, the methods and the arguments."""
    backends = (MemoryBackend, SQLiteBackend, RedisBackend, PostgresBackend, HybridBackend)
    sources = (
        *backends,
        Transaction,
        Lease,
        Log,
        Message,
        Outbox,
        ad_seller.storage,
        ad_seller.storage.factory,
        ad_seller.storage.fastapi,
        ad_seller.storage.operations,
        ad_seller.storage.sync,
        ad_seller.storage.telemetry,
        builtins,
    )
    names = {name for source in sources for name in dir(source) if not name.startswith("_")}
    for cls in {cls for backend in backends for cls in backend.__mro__}:
        names |= {cls.__name__, *inspect.signature(cls).parameters}
    for public in (StorageBackend, Log, Outbox):
        for _, method in inspect.getmembers(public, inspect.isfunction):
            names |= set(inspect.signature(method).parameters)
    rules = (ad_seller.storage.operations.RetentionRule, ad_seller.storage.operations.ErasureRule)
    for cls in (*rules, ad_seller.storage.Stats, ad_seller.storage.Health):
        names |= {*inspect.signature(cls).parameters}
    for view in VIEWS:
        names |= {view.name, view.identity, *(column.name for column in view.columns)}
    return names | {ENTRIES} | FOREIGN


def words_of_the_code() -> set[str]:
    files = [path for folder in ("src", "tests", "examples") for path in (ROOT / folder).glob("**/*.py")]
    return {word for path in files for word in re.findall(r"\w+", path.read_text())}


def section(page: str, heading: str) -> str:
    return text_of(page).partition(f"{heading}\n")[2].partition("\n## ")[0]
