"""``make adcp``: our stores for the public AdCP library, behind its real server; ``--own``: its tests on them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from ad_seller.storage.testing.postgres_server import PostgresServer
from ad_seller.storage.testing.servers import RedisServer, find_redis_binary

ROOT = Path(__file__).parents[2]

#: Tests of adcp 9.2.0 that make a store, and ask it or have `adcp` ask it.
OWN = [
    "test_decisioning_idempotency_conflict.py",
    "test_derive_packages.py",
    "test_proposal_auto_commit.py",
    "test_proposal_lifecycle.py",
    "test_proposal_store.py",
    "test_server_caller_identity.py",
    "test_server_idempotency.py",
]
#: They read the dict of the store that they think they have; the first counts what a sweep removes, ours does none.
NOT_OURS = [
    "test_delete_expired_sweeps",
    "test_replay_flag_does_not_poison_cached_entry",
    "test_execute_passes_tool_context_with_identity",
]


@contextmanager
def stores(folder: Path) -> Iterator[dict[str, str]]:
    """Yield an empty store of each engine."""
    with RedisServer(folder / "redis", binary=find_redis_binary()) as redis, PostgresServer() as postgres:
        yield {"sqlite": f"sqlite:///{folder}/own.db", "redis": redis.url, "postgres": postgres.url()}


def own_tests(folder: Path) -> Path:
    """Return the folder of the tests of the installed version, from its source package; nothing of it is kept."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=adcp", f"-d{folder}"]
    subprocess.run([*command, f"adcp=={version('adcp')}"], check=True)
    [package] = folder.glob("adcp-*.tar.gz")
    with tarfile.open(package) as archive:
        wanted = [each for each in archive if each.name.split("/")[1:2] in (["tests"], ["pyproject.toml"])]
        archive.extractall(folder, members=wanted, filter="data")
    return next(path for path in folder.glob("adcp-*") if path.is_dir())


def run_own(folder: Path, only: str | None) -> int:
    source = own_tests(folder)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.adcp_library.substitute",
        "-p",
        "no:cacheprovider",
    ]
    command += ["--import-mode=importlib", "-W", "ignore", "-o", "asyncio_mode=auto", "-k"]
    command += [f"not {' and not '.join(NOT_OURS)}", *(f"tests/{name}" for name in OWN)]
    failed = 0
    with stores(folder) as known:
        for engine, url in known.items():
            if only not in (None, engine):
                continue
            print(f"adcp's own tests, {engine}:", flush=True)
            places = os.pathsep.join([str(ROOT), str(source)])
            environment = os.environ | {"STORE_URL": url, "PYTHONPATH": places}
            failed |= subprocess.run(command, cwd=source, env=environment, check=False).returncode
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="make adcp", description=__doc__)
    parser.add_argument("--own", action="store_true", help="run adcp's own tests of its stores on ours")
    parser.add_argument("--engine", choices=["sqlite", "redis", "postgres"], help="with --own: on this one only")
    chosen, rest = parser.parse_known_args()
    if not chosen.own:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n0",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "tests/adcp_library",
        ]
        return subprocess.run([*command, *rest], cwd=ROOT, check=False).returncode
    with tempfile.TemporaryDirectory(prefix="adcp-") as folder:
        return run_own(Path(folder), chosen.engine)


if __name__ == "__main__":
    sys.exit(main())
