"""Errors of the connect say what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ad_seller.storage.errors import StorageConnectionError
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.servers import RedisServer


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
async def test_file_that_is_not_there_is_named(tmp_path: Path, option: str) -> None:
    missing = tmp_path / "nowhere.pem"
    with RedisServer(tmp_path / "redis") as server:
        url = f"{server.url.replace('redis:', 'rediss:')}?{option}={missing}"
        with pytest.raises(StorageConnectionError, match=f"no file '{missing}', which {option} names"):
            await RedisBackend(url).connect()
