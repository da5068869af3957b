"""Event loops that end with connections open are what these tests are about; what they leave is collected here."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest

from tests.bulk_engine import Engine


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect the sockets of ended loops at once, or the warning about them hits whatever test runs next.

    That nothing stays open is asserted where it is promised, by counting descriptors and connections.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(params=[False, True], ids=["in a task", "begun"])
async def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(begins=request.param)
