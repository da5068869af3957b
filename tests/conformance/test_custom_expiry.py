"""The backend that authors copy keeps an expiry that an earlier process has set."""

from __future__ import annotations

from pathlib import Path

import pytest

from ad_seller.storage import MissingKeyError
from examples.custom_backend import DirectoryBackend


async def test_an_update_after_a_restart_keeps_the_expiry(tmp_path: Path) -> None:
    url = f"directory:///{tmp_path}/store"
    async with DirectoryBackend(url) as storage:
        await storage.set_quote("q", {"status": "available"}, ttl=60)
        await storage.set_order("o", {"status": "draft"})
    async with DirectoryBackend(url) as storage:
        await storage.update_quote("q", lambda quote: quote | {"status": "used"})
        await storage.update_order("o", lambda order: order | {"status": "sent"})
        assert 50 < (await storage.ttl("quote:q") or 0) <= 60
        assert await storage.ttl("order:o") is None
        with pytest.raises(MissingKeyError, match="missing"):
            await storage.ttl("missing")
