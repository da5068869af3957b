"""The transaction of a seller: reads and writes by key, and every helper of a kind of record."""

from __future__ import annotations

from ..atomic.transaction import PlainTransaction
from .entities import EntityHelpers
from .indexes import IndexHelpers
from .lifecycle import LifecycleHelpers


class Transaction(PlainTransaction, EntityHelpers, IndexHelpers, LifecycleHelpers):
    """A `PlainTransaction` with every helper of a kind of record, such as ``tx.set_order``."""
