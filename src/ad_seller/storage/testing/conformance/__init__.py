"""The conformance tests of the storage contract: one class for each of its parts, and all of them together.

A backend is tested by a subclass that says how to make one::

    class TestSQLite(StorageConformance):
        @pytest.fixture
        def new_backend(self, tmp_path: Path) -> NewBackend:
            return partial(SQLiteBackend, f"sqlite:///{tmp_path}/store.db")

What a backend declares in its `capabilities` is tested, what it does not is skipped with the reason. The tests
are async and run by anyio's plugin for pytest.
"""

import pytest

_SECTIONS = (
    "atomic",
    "batches",
    "cancellation",
    "concurrency",
    "connection",
    "declared",
    "durability",
    "entities",
    "expiry",
    "harness",
    "jobs",
    "keys",
    "patterns",
    "rows",
    "searches",
    "transactions",
    "values",
)
pytest.register_assert_rewrite(*(f"{__name__}.{section}" for section in _SECTIONS))

from .atomic import AtomicConformance  # noqa: E402  (after the line that lets pytest explain their assertions)
from .batches import BatchConformance  # noqa: E402
from .cancellation import CancellationConformance  # noqa: E402
from .concurrency import ConcurrencyConformance  # noqa: E402
from .connection import ConnectionConformance  # noqa: E402
from .declared import DeclarationConformance  # noqa: E402
from .durability import DurabilityConformance  # noqa: E402
from .entities import EntityConformance  # noqa: E402
from .expiry import ExpiryConformance  # noqa: E402
from .harness import StoreRaw  # noqa: E402
from .jobs import NewBackend  # noqa: E402
from .keys import KeyConformance  # noqa: E402
from .patterns import PatternConformance  # noqa: E402
from .searches import SearchConformance  # noqa: E402
from .transactions import RequestConformance, TransactionConformance  # noqa: E402
from .values import ValueConformance  # noqa: E402

__all__ = ["NewBackend", "StorageConformance", "StoreRaw"]


class StorageConformance(
    KeyConformance,
    ValueConformance,
    ExpiryConformance,
    PatternConformance,
    BatchConformance,
    EntityConformance,
    SearchConformance,
    AtomicConformance,
    TransactionConformance,
    RequestConformance,
    ConcurrencyConformance,
    CancellationConformance,
    ConnectionConformance,
    DurabilityConformance,
    DeclarationConformance,
):
    """The whole contract, as far as it can be checked on any backend."""
