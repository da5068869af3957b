"""The compose files for users: well-formed, complete, and what they start starts."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ad_seller.storage.testing.binaries import find_redis_binary
from ad_seller.storage.testing.redis_nodes import ClusterNode, ask
from ad_seller.storage.testing.servers import RedisServer, ServerError
from tests.docs_samples import ROOT

FILES = sorted((ROOT / "examples" / "compose").glob("*.yml"))
REDIS_FILES = [path for path in FILES if path.name.startswith("redis")]
SECRET = "w0rd$(x)#y"

#: Stands for the programs in the image: the real server, on a port of the test's.
PROGRAM = """#!/bin/sh
exec "{binary}" "$1" --port {port} --bind 127.0.0.1 $2
"""


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice: the first would silently be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        assert len(keys) == len(set(keys)), f"twice in {node.start_mark}: {sorted(keys)}"
        return super().construct_mapping(node, deep)


def load(path: Path) -> dict[str, Any]:
    found = yaml.load(path.read_text(), StrictLoader)
    assert isinstance(found, dict)
    return found


every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


@every_file
def test_says_how_it_is_used(path: Path) -> None:
    head = path.read_text().partition("\nname:")[0]
    assert f"docker compose -f {path.name} up -d" in head
    assert "STORAGE_TYPE=" in head


@every_file
def test_is_complete(path: Path) -> None:
    file = load(path)
    services = file["services"]
    declared, used = set(file.get("volumes", {})), set()
    addresses = []
    for name, service in services.items():
        assert ":" in service["image"], f"{name}: an image has a version"
        used |= {volume.partition(":")[0] for volume in service.get("volumes", []) if volume[0] not in "./"}
        networks = service.get("networks", {})
        assert set(networks) <= set(file.get("networks", {}))
        if isinstance(networks, dict):
            addresses += [network["ipv4_address"] for network in networks.values() if network]
        assert set(service.get("depends_on", {})) <= set(services)
        if "restart" in service:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"]
            assert service["volumes"], f"{name}: what it keeps would be gone with the container"
        assert not {"privileged", "network_mode"} & set(service)
    assert used == declared
    assert len(addresses) == len(set(addresses))


@every_file
def test_shows_no_password_and_publishes_to_this_machine_only(path: Path) -> None:
    for service in load(path)["services"].values():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or "AUTH" in name:
                assert value.startswith("${")


def started() -> list[tuple[Path, str]]:
    return [(path, name) for path in REDIS_FILES for name in load(path)["services"] if name != "create"]


@pytest.mark.parametrize(("path", "name"), started(), ids=lambda value: getattr(value, "stem", value))
def test_starts(path: Path, name: str, tmp_path: Path) -> None:
    service = load(path)["services"][name]
    values = {"REDIS_PASSWORD": SECRET, "SENTINEL_PASSWORD": SECRET}
    environment = {key: values.get(key, value) for key, value in service["environment"].items()}
    with ClusterNode(tmp_path / "port") as server:
        port = server.port  # free again in a moment
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "redis-server"
    program.write_text(PROGRAM.format(binary=find_redis_binary().path, port=port))
    program.chmod(0o755)
    script = [part.replace("$$", "$") for part in service["command"]]
    for _ in range(2):  # the second time its files are there
        process = subprocess.Popen(
            script,
            cwd=tmp_path,
            env={**environment, "PATH": f"{programs}:{os.environ['PATH']}"},
            stdout=subprocess.DEVNULL,
        )
        try:
            assert answers(server), "see what it wrote to standard error"
        finally:
            process.kill()
            process.communicate()


def answers(server: RedisServer) -> bool:
    server._password = SECRET
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return bool(ask(server, "PING") == "PONG")
        except ServerError:
            time.sleep(0.02)
    return False


@pytest.mark.parametrize("path", REDIS_FILES, ids=lambda path: path.name)
def test_keeps_what_it_acknowledged(path: Path) -> None:
    text = path.read_text()
    assert "appendonly yes" in text
    assert "maxmemory-policy noeviction" in text
