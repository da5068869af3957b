"""The machines for backends whose clock can be set, and for those where a server's clock decides; and their run."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.listings import BatchRules, IndexRules, ListingRules, RecordRules
from tests.model.machine import Bench, KeyRules, ShortTimeRules, StoreMachine, TimeRules
from tests.model.tools import TransactionRules, UpdateRules

#: `MODEL=50` runs so many times more examples than usual.
FACTOR = float(os.environ.get("MODEL", "1"))


class LocalEntries(KeyRules, TimeRules, BatchRules, ListingRules, UpdateRules, TransactionRules):
    """Entries, with a clock that the machine sets."""


class LocalRecords(RecordRules, IndexRules, BatchRules, TimeRules):
    """Records of sellers, with a clock that the machine sets."""


class ServerEntries(KeyRules, ShortTimeRules, BatchRules, ListingRules, UpdateRules, TransactionRules):
    """Entries, with a server's clock: times to live are long, or so short that the machine waits."""


class ServerRecords(RecordRules, IndexRules, BatchRules):
    """Records of sellers, with a server's clock."""


def check(
    bench: Bench, *, examples: int, machines: Sequence[type[StoreMachine]] = (), steps: int = 30, told: bool = True
) -> None:
    """Compare the backend of the bench with the model.

    Args:
        bench: the backend, connected.
        examples: how many of each machine, if the environment says nothing else.
        machines: those to run, if not both.
        steps: rules that an example applies at most.
        told: whether a failure is made as short as possible, and kept for the next run.
    """
    chosen = settings(
        max_examples=max(1, int(examples * FACTOR)),
        stateful_step_count=steps,
        deadline=None,
        phases=set(Phase) - {Phase.explain},
        suppress_health_check=list(HealthCheck),
    )
    if not told:
        chosen = settings(chosen, phases=[Phase.generate], database=None, derandomize=True)
    both = (LocalEntries, LocalRecords) if bench.clock else (ServerEntries, ServerRecords)
    for machine in machines or both:
        run_state_machine_as_test(type(machine.__name__, (machine,), {"bench": bench}), settings=chosen)
