"""The path by which agents import `PostgresBackend`."""

from .postgres.backend import PostgresBackend

__all__ = ["PostgresBackend"]
