"""`set_many` where batches are not atomic: the error names the key that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from ad_seller.storage import Capabilities, StorageError
from ad_seller.storage.driver.commit import Commit, Outcome
from ad_seller.storage.errors import StoreUnavailableError
from ad_seller.storage.memory.engine import MemoryEngine
from tests.memory_defects import InBulk, MemoryWith


class RefusesKeysEngine(InBulk):
    """Refuses what writes a key that ends in "bad", and nothing else."""

    async def apply(self, commits: list[Commit]) -> Sequence[Outcome | Exception]:
        return [
            OSError("the disk is full") if (commit.first_key or "").endswith("bad") else (await self._one(commit))
            for commit in commits
        ]

    async def _one(self, commit: Commit) -> Outcome | Exception:
        [outcome] = await super().apply([commit])
        return outcome

    def explain(self, what: str, key: str | None, error: BaseException) -> StorageError:
        return StoreUnavailableError(f"{what}: {error}", key=key)


class RefusesKeys(MemoryWith):
    engine: ClassVar[type[MemoryEngine]] = RefusesKeysEngine

    @property
    def capabilities(self) -> Capabilities:
        """Each entry by itself, as on a cluster."""
        return replace(super().capabilities, atomic_batches=False)


async def test_the_error_names_the_key_that_failed() -> None:
    async with RefusesKeys() as store:
        with pytest.raises(StorageError, match="'2:bad'") as raised:
            await store.set_many({"1": 1, "2:bad": 2, "3": 3})
        assert raised.value.key == "2:bad"
        assert await store.get_many(["1", "2:bad", "3"]) == {"1": 1, "3": 3}
        with pytest.raises(StorageError, match="'9:bad'") as raised:
            await store.delete_many(["1", "9:bad"])
        assert raised.value.key == "9:bad"
