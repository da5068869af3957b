"""The path by which agents import `SQLiteBackend`."""

from .sqlite.backend import SQLiteBackend

__all__ = ["SQLiteBackend"]
