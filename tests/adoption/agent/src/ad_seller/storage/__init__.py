"""Where the agent keeps its state."""

from .base import StorageBackend
from .factory import get_storage_backend

__all__ = ["StorageBackend", "get_storage_backend"]
