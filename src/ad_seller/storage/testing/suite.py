"""The conformance tests for the backend that pytest's option --storage-backend names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..base import StorageBackend
from ..errors import StorageError
from .conformance import NewBackend, StorageConformance, StoreRaw
from .target import Target, empty, raw_writer

TARGET = pytest.StashKey[Target]()


class TestStorage(StorageConformance):
    """Every check, on one backend."""

    @pytest.fixture
    def new_backend(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewBackend]:
        """Makes backends on a store that is empty, and is left so."""
        target = request.config.stash[TARGET].at(tmp_path)
        yield target
        if not target.is_new_each_time:
            asyncio.run(asyncio.wait_for(empty(target, erase=True), self.opening))

    @pytest.fixture
    def store_raw(self, backend: StorageBackend) -> StoreRaw | None:
        """As the backend offers it."""
        write = raw_writer(backend)

        async def store_raw(key: str, text: bytes) -> None:
            assert write is not None
            try:
                await write(key, text)
            except StorageError:
                if _is_utf8(text):
                    raise
                pytest.skip("offers no store_raw for bytes that are no UTF-8")

        return None if write is None else store_raw


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
