"""The path by which agents import `HybridBackend`."""

from .hybrid.backend import HybridBackend

__all__ = ["HybridBackend"]
