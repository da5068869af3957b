"""A fork while other threads make locks: each lock is free in the child, and no hook fails."""

from __future__ import annotations

from tests.processes import run_code

CODE = """
import os, sys, threading
from ad_seller.storage.concurrency.forks import fork_safe_lock
failures = []
sys.unraisablehook = failures.append
sys.setswitchinterval(1e-5)
stop = threading.Event()
shared = fork_safe_lock()

def make():
    kept = []
    while not stop.is_set():
        kept.append(fork_safe_lock())
        with shared:
            pass
        if len(kept) > 300:
            kept.clear()

threads = [threading.Thread(target=make) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(60):
    pid = os.fork()
    if pid == 0:
        taken = shared.acquire(timeout=5)
        fork_safe_lock()
        os._exit(0 if taken else 9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
stop.set()
for thread in threads:
    thread.join()
assert failures == [], failures
"""


def test_locks_are_free_in_a_child_whatever_other_threads_do() -> None:
    done = run_code(CODE, measured=False)
    assert done.returncode == 0, done.stderr
    assert "Exception" not in done.stderr, done.stderr
