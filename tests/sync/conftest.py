"""A storage without await, of a file and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ad_seller.storage.sync import SyncStorage, open_url


@pytest.fixture(params=["sqlite", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SyncStorage]:
    """A connected storage of each kind."""
    urls = {"sqlite": f"sqlite:///{tmp_path}/store.db", "memory": "memory://"}
    with open_url(urls[request.param]) as opened:
        yield opened
