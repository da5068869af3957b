"""Pluggable asynchronous storage for advertising seller agents.

storage = await get_storage()
await storage.set_quote("qt-a1b2c3d4e5f6", {"status": "available"})
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .base import StorageBackend
from .capabilities import Capabilities
from .driver.commit import Commit, Delete, Expect, Put
from .errors import (
    CheckpointError,
    ConfigurationError,
    ConflictError,
    CorruptValueError,
    CrossStoreError,
    DamagedExportError,
    EffectUnknownError,
    IdempotencyConflictError,
    IdempotencyExpiredError,
    InFlightError,
    InvalidArgumentError,
    InvalidCursorError,
    InvalidKeyError,
    InvalidPatternError,
    InvalidTransitionError,
    InvalidTTLError,
    InvalidValueError,
    LeaseHeldError,
    LeaseLostError,
    LogGapError,
    MissingDependencyError,
    MissingKeyError,
    MissingStoreError,
    NotConnectedError,
    NotEmptyError,
    StorageConnectionError,
    StorageError,
    StorageTimeoutError,
    StoreUnavailableError,
    TransactionError,
    UnknownOutcomeError,
    UnsupportedError,
    WrongThreadError,
    redact,
)
from .records.codec import decode, encode
from .records.expiry import TTL, check_ttl
from .records.globs import compile_glob
from .records.indexes import DEFAULT_INDEXES, Index
from .records.keys import check_key
from .records.markers import DELETE, KEEP, LEAVE, Keep, Marker
from .records.pages import OnCorrupt, Page
from .seller.access import NewTTL, Record, RecordChange
from .seller.kinds import (
    AGENT_URL_INDEX_PREFIX,
    PREFIXES,
    SESSION_INDEX_PREFIX,
    ChangeRequestFilters,
    OrderFilters,
    QuoteFilters,
)
from .seller.lifecycle import CHANGE_REQUEST_LIFECYCLE, ORDER_LIFECYCLE, Lifecycle
from .stats import BatchStats, PoolStats, Stats

if TYPE_CHECKING:
    from .atomic.idempotency import Answer, InFlight
    from .atomic.lease import Lease
    from .atomic.open_effects import OpenEffect
    from .atomic.outcomes import Applied, NotApplied, Reconciled, Unknown
    from .factory import close_storage, get_storage, get_storage_backend, open_url
    from .health import Health
    from .namespaces.backend import NamespacedBackend
    from .records.ids import new_id
    from .registry import backend_names, register_backend
    from .seller.log import Log
    from .seller.log_entries import TransactionLog
    from .seller.log_following import LogEntry
    from .seller.log_taking import Taken
    from .seller.outbox import Outbox
    from .seller.outbox_entries import TransactionOutbox
    from .seller.outbox_message import Message
    from .seller.transaction import Transaction

else:
    # What a store is opened and read without is imported when it is first asked for.
    _LATER = {
        name: module
        for module, names in {
            ".atomic.idempotency": ("Answer", "InFlight"),
            ".atomic.lease": ("Lease",),
            ".atomic.open_effects": ("OpenEffect",),
            ".atomic.outcomes": ("Applied", "NotApplied", "Reconciled", "Unknown"),
            ".factory": ("close_storage", "get_storage", "get_storage_backend", "open_url"),
            ".health": ("Health",),
            ".namespaces.backend": ("NamespacedBackend",),
            ".records.ids": ("new_id",),
            ".registry": ("backend_names", "register_backend"),
            ".seller.log": ("Log",),
            ".seller.log_entries": ("TransactionLog",),
            ".seller.log_following": ("LogEntry",),
            ".seller.log_taking": ("Taken",),
            ".seller.outbox": ("Outbox",),
            ".seller.outbox_entries": ("TransactionOutbox",),
            ".seller.outbox_message": ("Message",),
            ".seller.transaction": ("Transaction",),
        }.items()
        for name in names
    }
    # `import ad_seller.storage` bound these, too, and agents have `ad_seller.storage.factory.…`.
    _MODULES = frozenset({"factory", "options", "registry", "settings"})

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return import_module(f".{name}", __name__)
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(_LATER[name], __name__), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


# The agent may have modules of its own in a folder of this name; they are imported beside ours, which come first.
if len(sys.modules["ad_seller"].__path__) > 1:
    from pkgutil import extend_path

    __path__ = extend_path(__path__, __name__)
if len(__path__) > 1 or (Path(__path__[0]).parent / "__init__.py").is_file():
    from .owners import report_owners

    report_owners(__path__)

__all__ = [
    "AGENT_URL_INDEX_PREFIX",
    "CHANGE_REQUEST_LIFECYCLE",
    "DEFAULT_INDEXES",
    "DELETE",
    "KEEP",
    "LEAVE",
    "ORDER_LIFECYCLE",
    "PREFIXES",
    "SESSION_INDEX_PREFIX",
    "TTL",
    "Answer",
    "Applied",
    "BatchStats",
    "Capabilities",
    "ChangeRequestFilters",
    "CheckpointError",
    "Commit",
    "ConfigurationError",
    "ConflictError",
    "CorruptValueError",
    "CrossStoreError",
    "DamagedExportError",
    "Delete",
    "EffectUnknownError",
    "Expect",
    "Health",
    "IdempotencyConflictError",
    "IdempotencyExpiredError",
    "InFlight",
    "InFlightError",
    "Index",
    "InvalidArgumentError",
    "InvalidCursorError",
    "InvalidKeyError",
    "InvalidPatternError",
    "InvalidTTLError",
    "InvalidTransitionError",
    "InvalidValueError",
    "Keep",
    "Lease",
    "LeaseHeldError",
    "LeaseLostError",
    "Lifecycle",
    "Log",
    "LogEntry",
    "LogGapError",
    "Marker",
    "Message",
    "MissingDependencyError",
    "MissingKeyError",
    "MissingStoreError",
    "NamespacedBackend",
    "NewTTL",
    "NotApplied",
    "NotConnectedError",
    "NotEmptyError",
    "OnCorrupt",
    "OpenEffect",
    "OrderFilters",
    "Outbox",
    "Page",
    "PoolStats",
    "Put",
    "QuoteFilters",
    "Reconciled",
    "Record",
    "RecordChange",
    "Stats",
    "StorageBackend",
    "StorageConnectionError",
    "StorageError",
    "StorageTimeoutError",
    "StoreUnavailableError",
    "Taken",
    "Transaction",
    "TransactionError",
    "TransactionLog",
    "TransactionOutbox",
    "Unknown",
    "UnknownOutcomeError",
    "UnsupportedError",
    "WrongThreadError",
    "backend_names",
    "check_key",
    "check_ttl",
    "close_storage",
    "compile_glob",
    "decode",
    "encode",
    "get_storage",
    "get_storage_backend",
    "new_id",
    "open_url",
    "redact",
    "register_backend",
]
