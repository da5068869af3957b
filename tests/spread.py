"""Which tests one worker runs together, and which workers take first: with pytest-xdist, ``-n``.

Not by marks `xdist_group`: pytest-xdist 3.8 writes the group into an attribute that pytest 9.2 no longer reads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, count
from typing import Protocol

import pytest

#: How the names of tests begin that share servers of six processes: one worker each starts them, once.
TOGETHER = (
    "tests/sentinel/",
    "tests/cluster/",
    "tests/test_failure_table.py::test_the_caller_gets_what_the_table_says[Sentinel: ",
    "tests/test_failure_table.py::test_the_caller_gets_what_the_table_says[cluster: ",
)

#: Those that wait more than they compute, for up to 50 s each: the longest first.
WAITING = (*TOGETHER, "tests/histories/test_rounds.py::", "tests/test_failure_table.py::")

#: Those that compute for up to 40 s each: the longest last.
COMPUTING = ("tests/model/", "tests/broken/", "tests/benchmarks/", "tests/testing/")

#: Tests that a worker has: the one that runs, the next one, and one for the time until it is told more.
_AHEAD = 3


def place(name: str) -> int:
    """Return where a test stands: first what waits, last what computes, and between them all that is short."""
    for number, start in enumerate(WAITING):
        if name.startswith(start):
            return number - len(WAITING)
    return next((number for number, start in enumerate(COMPUTING, 1) if name.startswith(start)), 0)


class Worker(Protocol):
    """What we need of the `WorkerController` of pytest-xdist."""

    @property
    def shutting_down(self) -> bool: ...

    def send_runtest_some(self, indices: Sequence[int]) -> None: ...

    def shutdown(self) -> None: ...


class _Share:
    """What a worker has."""

    def __init__(self, number: int) -> None:
        self.from_the_end = number % 2 == 1
        self.ready = False  #: it knows the tests
        self.unit: deque[int] = deque()  #: what is its own, but was not sent yet
        self.sent: list[int] = []  #: what it has not run to the end; the first one runs


class Spread:
    """Hands out tests, as pytest-xdist asks it to (`xdist.scheduler.Scheduling`).

    Half of the workers begin with what waits and the others with what computes, so that no core is idle.
    They meet at what is short: none is alone with a long one at the end.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._number = count()
        self._names: list[str] | None = None
        self._units: deque[deque[int]] = deque()
        self._shares: dict[Worker, _Share] = {}

    @property
    def nodes(self) -> list[Worker]:
        return list(self._shares)

    @property
    def collection_is_completed(self) -> bool:
        return self._names is not None

    @property
    def has_pending(self) -> bool:
        return bool(self._units) or any(share.unit or share.sent for share in self._shares.values())

    @property
    def tests_finished(self) -> bool:
        """Tell whether nothing is left but the last test of each worker, which it begins when it is shut down."""
        shares = self._shares.values()
        return self.collection_is_completed and not (
            self._units or any(share.unit or len(share.sent) > 1 for share in shares)
        )

    def add_node(self, node: Worker) -> None:
        self._shares[node] = _Share(next(self._number))

    def add_node_collection(self, node: Worker, collection: Sequence[str]) -> None:
        """Begin when the first worker knows the tests; the others must find the same."""
        self._shares[node].ready = True
        if self._names is None:
            self._names = list(collection)
            units: dict[str, deque[int]] = {}
            for index, name in enumerate(self._names):
                unit = next((start for start in TOGETHER if name.startswith(start)), name)
                units.setdefault(unit, deque()).append(index)
            self._units.extend(units.values())
        elif self._names != list(collection):
            differ = sorted(set(self._names) ^ set(collection))
            raise pytest.UsageError(f"two workers have other tests, or another order: {differ[:10]}")

    def schedule(self) -> None:
        self._feed(self._shares)

    def mark_test_complete(self, node: Worker, item_index: int, duration: float = 0) -> None:
        self._shares[node].sent.remove(item_index)
        self._feed([node])

    def mark_test_pending(self, item: str) -> None:
        """Try a test again with which its worker died (pytest-rerunfailures asks)."""
        assert self._names is not None
        self._units.appendleft(deque([self._names.index(item)]))

    def remove_node(self, node: Worker) -> str | None:
        """Take back what a worker has not run; return the test with which it died."""
        share = self._shares.pop(node)
        if not share.sent:
            return None
        died, *rest = share.sent
        if left := deque(chain(rest, share.unit)):
            self._units.appendleft(left)
            self._feed(self._shares)
        assert self._names is not None
        return self._names[died]

    def _feed(self, nodes: Iterable[Worker]) -> None:
        for node in nodes:
            share = self._shares[node]
            while share.ready and not node.shutting_down and len(share.sent) < _AHEAD:
                if share.unit:
                    share.sent.append(share.unit.popleft())
                    node.send_runtest_some(share.sent[-1:])
                elif self._units:
                    share.unit = self._units.pop() if share.from_the_end else self._units.popleft()
                else:
                    node.shutdown()


# Nobody asks where pytest-xdist is left out: in the mutation run.


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Take two workers for each core: half of its time a test waits for something to end."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> Spread:
    """Share the tests out ourselves, whatever ``--dist`` says."""
    return Spread(config)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put all in order; what has the same place stays in its order."""
    items.sort(key=lambda item: place(item.nodeid))
