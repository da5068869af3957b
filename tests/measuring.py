"""Which tests coverage follows; `measured` of tests/conftest.py asks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Folders whose processes run the kit for minutes, or the package as other tests do: to count their lines doubles
#: what they take, and most are reached in the tests' own processes.
UNMEASURED = {"benchmarks", "broken", "effects", "examples", "histories", "mutation", "testing"}

#: Folders and files that reach what others reach, again and again or on one more set-up: neither their own lines
#: are counted nor those of their processes. The contract is followed in memory and on SQLite.
RETOLD = (
    "tests/broken/",
    "tests/fuzz/",
    "tests/histories/",
    "tests/model/",
    "tests/schedules/",
    "tests/cluster/test_atomic.py",
    "tests/cluster/test_conformance.py",
    "tests/cluster/test_model.py",
    "tests/conformance/test_custom.py",
    "tests/conformance/test_hybrid.py",
    "tests/conformance/test_namespaces.py",
    "tests/conformance/test_postgres.py",
    "tests/conformance/test_redis.py",
    "tests/hybrid/test_atomic.py",
    "tests/postgres/test_atomic.py",
    "tests/records/test_globs.py",
    "tests/sentinel/test_atomic.py",
    "tests/sentinel/test_conformance.py",
    "tests/sentinel/test_model.py",
    "tests/test_reach.py",
)


@contextmanager
def untraced() -> Iterator[None]:
    """Have nobody follow the lines of this thread, and of those that begin meanwhile."""
    trace, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(of_threads)
        sys.settrace(trace)
