"""The same storage without await, for worker threads, scripts, notebooks, Django and Celery.

with open_url("sqlite:///./ad_seller.db") as storage:
    storage.set_quote("qt-a1b2c3d4e5f6", {"status": "available"})
"""

from .factory import close_storage, get_storage, get_storage_backend, open_url
from .lease import SyncLease
from .log import SyncLog, SyncTransactionLog
from .outbox import SyncMessage, SyncOutbox, SyncTransactionOutbox
from .storage import SyncStorage
from .transaction import SyncTransaction

__all__ = [
    "SyncLease",
    "SyncLog",
    "SyncMessage",
    "SyncOutbox",
    "SyncStorage",
    "SyncTransaction",
    "SyncTransactionLog",
    "SyncTransactionOutbox",
    "close_storage",
    "get_storage",
    "get_storage_backend",
    "open_url",
]
