"""The end of the interpreter, forks, and interruptions: the right answer or an error of ours, never a hang."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.processes import run_code, started_job
from tests.sync import jobs as sync_jobs

JOBS = sync_jobs.__name__


def run(code: str, *arguments: object) -> str:
    """Run a script with all warnings as errors; what it prints. That servers of tests keep nothing is no news."""
    quiet = "import logging\nlogging.getLogger('ad_seller.storage').setLevel(logging.ERROR)"
    strict = "import sys, warnings\nwarnings.simplefilter('error')"
    done = run_code(f"{quiet}\n{strict}\n{code}", *arguments, seconds=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_a_script_that_forgets_to_disconnect_ends(tmp_path: Path) -> None:
    code = """
from ad_seller.storage.sync import open_url
storage = open_url(sys.argv[1])
storage.connect()
storage.set("k", 1)
print(storage.get("k"))
"""
    assert run(code, f"sqlite:///{tmp_path}/s.db") == "1\n"


@pytest.mark.parametrize("begun", [True, False])
def test_calls_at_the_exit_of_the_interpreter(tmp_path: Path, begun: bool) -> None:
    """In an atexit function, also as the first call of all; in a finaliser of a module that is cleared, refused."""
    code = """
import atexit, os
from ad_seller.storage import StorageError
from ad_seller.storage.sync import open_url
storage = open_url(sys.argv[1])
if sys.argv[2] == "True":
    storage.connect()

@atexit.register
def last():
    try:
        with storage:
            storage.set("k", 1)
            print(storage.get("k"))
    except StorageError as error:
        print("1" if "interpreter" in str(error) else error)

class Finaliser:
    def __init__(self, storage, error):
        self.storage, self.error, self.write = storage, error, os.write
    def __del__(self):
        try:
            self.storage.exists("k")
        except self.error as error:
            self.write(1, str("ending" in str(error)).encode())

kept = Finaliser(storage, StorageError)
"""
    assert run(code, f"sqlite:///{tmp_path}/s.db", begun) == "1\nTrue"


@pytest.mark.parametrize("daemon", [True, False])
def test_the_interpreter_exits_while_another_thread_is_in_a_call(tmp_path: Path, daemon: bool) -> None:
    """A daemon's calls end with the interpreter, each of them whole; another thread's are waited for."""
    code = """
import threading
from ad_seller.storage.sync import open_url
storage = open_url(sys.argv[1])
storage.connect()
begun = threading.Event()

def work():
    for number in range(300):
        storage.set_many({f"a:{number}": number, f"b:{number}": number})
        begun.set()

threading.Thread(target=work, daemon=sys.argv[2] == "True").start()
begun.wait(30)
"""
    run(code, f"sqlite:///{tmp_path}/s.db", daemon)
    db = sqlite3.connect(tmp_path / "s.db")
    keys = {key for (key,) in db.execute("SELECT key FROM kv_store")}
    db.close()
    assert {key[2:] for key in keys if key[0] == "a"} == {key[2:] for key in keys if key[0] == "b"}
    assert len(keys) == 600 if not daemon else len(keys) >= 2


@pytest.mark.parametrize("kind", ["memory", "redis", "postgres"])
def test_a_fork_between_connect_and_the_first_call(
    kind: str, redis_url: str, redis_prefix: str, postgres_url: str
) -> None:
    """The child has a loop thread of its own; parent and child go on, and nothing that was stored is lost."""
    url = {"memory": "memory://", "redis": redis_url, "postgres": postgres_url}[kind]
    counts = json.loads(run(sync_jobs.FORK, url, redis_prefix))
    assert counts == ([30, 30] if kind == "memory" else [60, 60])


def test_a_fork_with_an_open_sqlite_file(tmp_path: Path) -> None:
    said = run(sync_jobs.FORK_SQLITE, f"sqlite:///{tmp_path}/s.db")
    assert said.splitlines() == ["child NotConnectedError", "child again 1", "parent 1"]


def test_a_fork_inside_of_a_transaction(tmp_path: Path) -> None:
    assert run(sync_jobs.FORK_IN_TRANSACTION).splitlines() == ["child TransactionError", "child 2", "parent 1"]


@pytest.mark.parametrize("call", ["lease", "transact", "update"])
def test_ctrl_c_cancels_the_call(tmp_path: Path, call: str) -> None:
    """KeyboardInterrupt comes at once; the call has ended when it comes, and nothing of it is left."""
    with started_job(JOBS, call, tmp_path) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "waiting\n"
        began = time.monotonic()
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=30)
        assert time.monotonic() - began < 10
    assert err == ""
    assert out.splitlines() == ["interrupted", "under way: 0", "1"]
