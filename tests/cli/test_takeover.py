"""take-over."""

from __future__ import annotations

import asyncio
import json

from tests.cli.support import assert_explained, fill, run
from tests.postgres.support import run_sql
from tests.postgres.test_takeover_again import older_writes


def test_take_over_runs_again_and_lists_the_differences(new_database: str) -> None:
    asyncio.run(older_writes(new_database, theirs=1, both=1))
    command = ("--url", new_database, "take-over")
    assert_explained(run(*command, "--dry-run"), 1, "kv_store of an older agent", "take-over")
    assert run_sql(new_database, "SELECT to_regclass('ad_seller_kv')") == [(None,)]

    done = run(*command)
    assert (done.returncode, done.stdout) == (0, "")
    assert "2 entries taken over, 0 left out" in done.stderr
    fill(new_database, {"both": 2, "mine": 2})
    asyncio.run(older_writes(new_database, theirs=3, both=3))

    looked = run(*command, "--dry-run")
    assert (looked.returncode, looked.stdout) == (1, "newer\ttheirs\ndiffers\tboth\n")
    assert json.loads(run("--url", new_database, "get", "theirs").stdout) == 1
    done = run(*command, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "first": "2 entries taken over, 0 left out",
        "taken": ["theirs"],
        "differing": ["both"],
    }
    again = run(*command)
    assert (again.returncode, again.stdout) == (0, "")
    values = [json.loads(run("--url", new_database, "get", key).stdout) for key in ("theirs", "both", "mine")]
    assert values == [3, 2, 2]


def test_without_an_older_table(new_database: str) -> None:
    done = run("--url", new_database, "take-over")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no table kv_store" in done.stderr


def test_hybrid(new_database: str, redis_url: str, redis_prefix: str) -> None:
    asyncio.run(older_writes(new_database, theirs=1))
    env = {"STORAGE_TYPE": "hybrid", "DATABASE_URL": new_database, "REDIS_URL": redis_url}
    done = run("take-over", env={**env, "REDIS_KEY_PREFIX": redis_prefix})
    assert (done.returncode, done.stdout) == (0, "")
    assert "1 entries taken over" in done.stderr


def test_other_engines_have_nothing_to_take_over(url: str) -> None:
    assert_explained(run("--url", url, "take-over"), 2, "nothing to take over", "postgres")
