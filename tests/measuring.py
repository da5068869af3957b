"""Which tests coverage follows; `measured` of tests/conftest.py asks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Folders of which only the processes are not followed: those run the kit for minutes, and to count their lines
#: doubles that; most are reached in the tests' own processes.
UNMEASURED = ("tests/testing/",)

#: Folders and files that reach what others reach, again and again or on one more set-up: neither their own lines
#: are counted nor those of their processes. The contract is followed in memory and on SQLite.
#: A new file is followed; who adds to one of these for the sake of new lines takes it out here.
RETOLD = (
    "tests/benchmarks/",
    "tests/broken/",
    "tests/effects/",
    "tests/examples/",
    "tests/fuzz/",
    "tests/histories/",
    "tests/model/",
    "tests/mutation/",
    "tests/schedules/",
    "tests/adoption/test_joining.py",
    "tests/atomic/test_beside.py",
    "tests/atomic/test_cancellation.py",
    "tests/atomic/test_following.py",
    "tests/atomic/test_killed.py",
    "tests/atomic/test_races.py",
    "tests/cli/test_entries.py",
    "tests/cluster/test_atomic.py",
    "tests/cluster/test_conformance.py",
    "tests/cluster/test_model.py",
    "tests/cluster/test_use.py",
    "tests/conformance/test_custom.py",
    "tests/conformance/test_hybrid.py",
    "tests/conformance/test_namespaces.py",
    "tests/conformance/test_postgres.py",
    "tests/conformance/test_redis.py",
    "tests/hybrid/test_atomic.py",
    "tests/operations/test_copies_that_end.py",
    "tests/postgres/test_atomic.py",
    "tests/postgres/test_commits.py",
    "tests/postgres/test_filters.py",
    "tests/postgres/test_indexes_of_our_name.py",
    "tests/records/test_codec.py",
    "tests/records/test_globs.py",
    "tests/records/test_keys.py",
    "tests/redis/test_callers.py",
    "tests/redis/test_commits.py",
    "tests/redis/test_failures.py",
    "tests/runtime/test_expiry_boundary.py",
    "tests/runtime/test_one_moment.py",
    "tests/sentinel/test_atomic.py",
    "tests/sentinel/test_conformance.py",
    "tests/sentinel/test_model.py",
    "tests/sqlite/test_cancellation.py",
    "tests/sqlite/test_filters.py",
    "tests/sqlite/test_lifecycle.py",
    "tests/sqlite/test_listing.py",
    "tests/sqlite/test_processes.py",
    "tests/sync/test_with_loops.py",
    "tests/test_create.py",
    "tests/test_docs.py",
    "tests/test_docs_names.py",
    "tests/test_factory_loops.py",
    "tests/test_house.py",
    "tests/test_interface.py",
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
