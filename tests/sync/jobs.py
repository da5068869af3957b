"""Scripts and jobs in processes of their own; see `test_processes`."""

from __future__ import annotations

import linecache
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ad_seller.storage.sync import SyncStorage, calls, open_url
from tests.processes import do_job

FORK = """
import json, os, threading
from ad_seller.storage import open_url
from ad_seller.storage.sync import SyncStorage

backend = open_url(sys.argv[1])
if hasattr(backend, "key_prefix"):
    from ad_seller.storage.redis_backend import RedisBackend
    backend = RedisBackend(sys.argv[1], key_prefix=sys.argv[2])
storage = SyncStorage(backend)
storage.connect()

def count(times):
    for _ in range(times):
        storage.increment("counter")

beside = threading.Thread(target=count, args=(10,))
beside.start()
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer about threads and forks
read, write = os.pipe()
child = os.fork()
if child == 0:
    try:
        threads = [threading.Thread(target=count, args=(10,)) for _ in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        storage.transact(lambda tx: tx.set("child", tx.get("counter") is not None))
        os.write(write, b"done")
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("ad_seller.storage.sync") == 1, names
        storage.disconnect()
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
count(20)
beside.join()
os.close(write)
assert os.read(read, 4) == b"done"
assert os.waitpid(child, 0)[1] == 0
print(json.dumps([storage.get("counter"), storage.update("counter", lambda n: n)]))
storage.disconnect()
"""

FORK_SQLITE = """
import os
from ad_seller.storage import StorageError
from ad_seller.storage.sync import open_url

storage = open_url(sys.argv[1])
storage.connect()
storage.set("k", 1)
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if child == 0:
    try:
        storage.get("k")
    except StorageError as error:
        print("child", type(error).__name__, flush=True)
    with open_url("memory://") as other:
        other.set("k", 1)
        print("child again", other.get("k"), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("parent", storage.get("k"))
storage.disconnect()
"""

FORK_IN_TRANSACTION = """
import os
from ad_seller.storage import StorageError
from ad_seller.storage.sync import open_url

warnings.simplefilter("ignore", DeprecationWarning)
storage = open_url("memory://")
storage.connect()
with storage.transaction() as tx:
    tx.set("k", 1)
    child = os.fork()
    if child == 0:
        try:
            tx.get("k")
        except StorageError as error:
            print("child", type(error).__name__, flush=True)
        storage.set("k", 2)
        print("child", storage.get("k"), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
print("parent", storage.get("k"))
"""


def interrupted(storage: SyncStorage, call: Any) -> None:
    """Make a call that lasts, until somebody sends SIGINT; then look at what is left."""
    storage.set("k", 1)
    threading.Thread(target=tell_when_under_way).start()
    try:
        call()
    except KeyboardInterrupt:
        print("interrupted")
    print("under way:", len(calls._under_way))
    print(storage.get("k"))
    storage.disconnect()


def tell_when_under_way() -> None:
    """Say so when the call is under way and its thread waits, in the library or in a function of the caller."""
    while not (calls._under_way and main_thread_waits()):
        time.sleep(0.005)
    print("waiting", flush=True)


def main_thread_waits() -> bool:
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return "_inbox.get()" in line or "time.sleep(60)" in line


def connected(folder: str) -> SyncStorage:
    storage = open_url(f"sqlite:///{Path(folder) / 's.db'}")
    storage.connect()
    return storage


def lease(folder: str) -> None:
    storage = connected(folder)
    with storage.lease("busy", 60):
        interrupted(storage, lambda: storage.lease("busy", 60, wait=60).__enter__())


def transact(folder: str) -> None:
    def work(tx: Any) -> None:
        tx.set("k", 2)
        time.sleep(60)

    storage = connected(folder)
    interrupted(storage, lambda: storage.transact(work))


def update(folder: str) -> None:
    """It waits for the write lock of the file."""
    import sqlite3

    storage = connected(folder)
    storage.set("k", 1)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        db = sqlite3.connect(Path(folder) / "s.db", isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        holding.set()
        done.wait(60)
        db.close()

    def call() -> None:
        holder.start()
        holding.wait(60)
        try:
            storage.update("k", lambda _: 2)
        finally:
            # An attempt that is under way may get the lock, and took effect then; a further one is not made.
            while storage._inner._sessions._latest.commits.running:  # type: ignore[attr-defined]
                time.sleep(0.01)
            done.set()

    holder = threading.Thread(target=hold)
    interrupted(storage, call)
    holder.join()


if __name__ == "__main__":
    do_job({"lease": lease, "transact": transact, "update": update}, sys.argv[1:])
