"""The path by which agents import `MemoryBackend`."""

from .memory.backend import MemoryBackend

__all__ = ["MemoryBackend"]
