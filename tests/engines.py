"""The engine that a backend has in the running event loop, for tests of engines."""

from __future__ import annotations

from ad_seller.storage.driver.engine import Engine
from ad_seller.storage.runtime.template import DriverBackend


async def engine_of(store: DriverBackend) -> Engine:
    return (await store._here()).engine
