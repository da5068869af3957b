"""The compose file for users: well-formed, and it says what the documentation says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ad_seller.storage import open_url
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.redis_backend import RedisBackend

FILE = Path(__file__).parents[2] / "examples" / "docker-compose.yml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def test_has_the_parts_that_compose_knows(compose: dict[str, Any]) -> None:
    assert set(compose) == {"services", "volumes"}
    assert set(compose["services"]) == {"postgres", "redis"}
    for service in compose["services"].values():
        known = {"image", "environment", "command", "ports", "volumes", "shm_size", "healthcheck", "restart"}
        assert {"image", "ports", "volumes", "healthcheck"} <= set(service) <= known
        assert re.fullmatch(r"[a-z]+:\d+", service["image"])
        assert set(service["healthcheck"]) == {"test", "interval", "retries"}
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), "not open to the network"
        for volume in service["volumes"]:
            assert volume.partition(":")[0] in compose["volumes"]


def test_the_urls_in_it_fit_its_services(compose: dict[str, Any]) -> None:
    urls = dict(re.findall(r"# +(?:Then: +)?(\w+_URL)=(\S+)", FILE.read_text()))
    settings = compose["services"]["postgres"]["environment"]
    login = f"{settings['POSTGRES_USER']}:{settings['POSTGRES_PASSWORD']}"
    assert urls["DATABASE_URL"] == f"postgresql://{login}@localhost:5432/{settings['POSTGRES_DB']}"
    assert isinstance(open_url(urls["DATABASE_URL"]), PostgresBackend)
    assert isinstance(open_url(urls["REDIS_URL"]), RedisBackend)
