"""The doctor at a cluster that does not serve all slots: it says so, and looks at what is left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from ad_seller.storage.operations import examine, examine_unopened, walking
from ad_seller.storage.redis_backend import RedisBackend
from ad_seller.storage.testing.binaries import ServerError
from ad_seller.storage.testing.redis_groups import RedisCluster
from ad_seller.storage.testing.redis_nodes import ask, wait_for
from tests.cli.support import run
from tests.cluster.test_operations import told_by_server

KEPT = {"not-synchronous"}  # the servers keep nothing on disk


def take_away(cluster: RedisCluster, slots: set[int]) -> None:
    """Have no node own the slots; what an owner had sent before it was asked puts them back at others."""
    quiet_since = time.monotonic()
    while time.monotonic() < quiet_since + 0.5:  # longer than such a message is under way
        for node in cluster.nodes:
            known = {slot for first, last, *_ in ask(node, "CLUSTER", "SLOTS") for slot in range(first, last + 1)}
            if there := sorted(known & slots):
                ask(node, "CLUSTER", "DELSLOTS", *there)
                quiet_since = time.monotonic()


@pytest.fixture
def uncovered(cluster: RedisCluster) -> Iterator[int]:
    """A slot that no node owns."""
    owner = cluster.master_of("a")
    slot: int = ask(owner, "CLUSTER", "KEYSLOT", "a")
    take_away(cluster, {slot})
    yield slot
    ask(owner, "CLUSTER", "ADDSLOTS", slot)
    cluster.wait_until_ok()


def server_names(cluster: RedisCluster) -> list[str]:
    return [f"127.0.0.1:{server.port}" for server in cluster.masters()]


def report_of(url: str, *options: str) -> list[dict[str, str]]:
    done = run("doctor", "--url", url, "--json", *options, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)["findings"]
    return found


async def test_slots_without_a_master(cluster: RedisCluster, uncovered: int) -> None:
    found = report_of(cluster.url)
    [lost] = [each for each in found if each["rule"] == "slots-uncovered"]
    assert lost["what"] == "1 of 16,384 slots have no master"
    looked_at = [each["where"].rpartition(", ")[2] for each in found if each["rule"] == "not-synchronous"]
    assert looked_at == server_names(cluster)
    [unread] = [each for each in found if each["rule"] == "data-unread"]
    assert unread["what"] == "No entry was looked at, on any server"
    assert "data-unread" not in {each["rule"] for each in report_of(cluster.url, "--no-data")}


async def test_no_server_gives_out_entries_while_a_slot_has_no_master(
    cluster: RedisCluster, request: pytest.FixtureRequest
) -> None:
    """So the doctor does not ask for them."""
    key = next(name for name in "bcdefgh" if cluster.master_of(name) != cluster.master_of("a"))
    owner = cluster.master_of(key)
    assert ask(owner, "GET", key) is None
    request.getfixturevalue("uncovered")
    wait_for(lambda: "state:fail" in str(ask(owner, "CLUSTER", "INFO")), "it is down", 20)
    with pytest.raises(ServerError, match="CLUSTERDOWN"):
        ask(owner, "GET", key)


async def test_slots_are_lost_while_it_is_connected(cluster: RedisCluster, request: pytest.FixtureRequest) -> None:
    async with RedisBackend(cluster.url, timeout=1) as store:
        await store.set("a", 1)
        request.getfixturevalue("uncovered")
        rules = {each.rule for each in await examine(store)}
        assert rules == {"slots-uncovered", "data-unread", *KEPT}


async def test_a_cluster_without_any_slots(cluster: RedisCluster, uncovered: int) -> None:
    """One that was never set up: each node is alone."""
    slots = ask(cluster.nodes[0], "CLUSTER", "SLOTS")
    owned = {(first, last): port for first, last, (_, port, *_), *_ in slots}
    take_away(cluster, set(range(16_384)))
    try:
        found, unread = await examine_unopened(RedisBackend(cluster.url, timeout=1))
        assert unread.rule == "data-unread"
        assert (found.rule, found.what) == ("slots-uncovered", "16,384 of 16,384 slots have no master")
    finally:
        for (first, last), port in owned.items():
            ask(cluster.node_at(port), "CLUSTER", "ADDSLOTS", *range(first, last + 1))


@pytest.mark.usefixtures("patient", "mended")
async def test_a_master_that_is_gone(cluster: RedisCluster) -> None:
    names = server_names(cluster)
    gone = f"127.0.0.1:{cluster.kill_master().port}"
    found = report_of(cluster.url)
    [silent] = [each for each in found if each["rule"] == "master-silent"]
    assert silent["what"].startswith(f"The master {gone} does not answer: ")
    looked_at = [each["where"].rpartition(", ")[2] for each in found if each["rule"] == "not-synchronous"]
    assert looked_at == [name for name in names if name != gone]


@pytest.mark.usefixtures("patient", "mended")
async def test_a_master_that_hangs_while_it_is_connected(cluster: RedisCluster) -> None:
    one, *others = cluster.masters()
    async with RedisBackend(cluster.url, timeout=1) as store:
        one.freeze()
        told = await told_by_server(store)
        assert told.pop(repr(store).rpartition(", ")[2]) == {"master-silent"}
        assert told == {f"127.0.0.1:{server.port}": KEPT for server in others}
        assert {each.rule for each in await examine(store)} == {"master-silent", "data-unread", *KEPT}
        one.thaw()


@pytest.mark.usefixtures("patient", "mended")
async def test_a_master_that_hangs_while_entries_are_looked_at(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when the servers were looked at."""
    monkeypatch.setattr(walking, "_PATIENCE", 0.5)
    one = cluster.masters()[0]
    async with RedisBackend(cluster.url, timeout=60) as patient:
        await patient.set_many({f"order:{n:05}": "no record" for n in range(5_000)})
    async with RedisBackend(cluster.url, timeout=3) as store:
        found = await examine(store, progress=lambda seen: one.freeze())
        one.thaw()
        assert {each.rule for each in found} == {"master-silent", "odd-record", "data-unread", *KEPT}
        [unread] = [each for each in found if each.rule == "data-unread"]
        assert unread.what.startswith("2,000 entries were looked at, then: ")
