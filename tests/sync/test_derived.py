"""The face without await and the asynchronous one never drift apart."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ad_seller.storage import Lease, StorageBackend, Transaction, factory
from ad_seller.storage import sync as face
from ad_seller.storage.sync import SyncLease, SyncStorage, SyncTransaction
from tests.sync.generate import FOLDER, made

#: What is entered, iterated over or asked in place of the asynchronous form; and what only one of the two has.
OTHER_RESULT = {"iterate", "lease", "log", "outbox", "transaction"}
ONLY_SYNC = {SyncStorage: {"backend"}, SyncTransaction: set[str](), SyncLease: {"inner", "key", "fence"}}
#: For tools built on transactions, in the event loop.
ONLY_ASYNC = {"include"}


def test_the_generated_files_are_what_is_generated_now() -> None:
    """Else: `python -m tests.sync.generate`."""
    now = made()
    assert {path.name for path in FOLDER.glob("*.py")} == {path.name for path in now} | {"__init__.py"}
    for path, text in now.items():
        assert path.read_text() == text, f"{path.name} is old: python -m tests.sync.generate"


def public(cls: type[Any]) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("asynchronous", "synchronous"),
    [(StorageBackend, SyncStorage), (Transaction, SyncTransaction), (Lease, SyncLease)],
)
def test_every_public_name_and_parameter(asynchronous: type[Any], synchronous: type[Any]) -> None:
    assert public(synchronous) - ONLY_SYNC[synchronous] == public(asynchronous) - ONLY_ASYNC
    for name in public(asynchronous) - ONLY_ASYNC:
        there, here = getattr(asynchronous, name), getattr(synchronous, name)
        if not inspect.isfunction(there):
            continue
        assert parameters(here) == parameters(there), name
        assert inspect.getdoc(here), name
        assert not inspect.iscoroutinefunction(here), name
        if name not in OTHER_RESULT:
            assert here.__annotations__["return"] == there.__annotations__["return"], name


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found]


def test_the_functions_take_what_the_asynchronous_ones_take() -> None:
    for name in ("open_url", "get_storage_backend", "get_storage", "close_storage"):
        assert parameters(getattr(face, name)) == parameters(getattr(factory, name))
