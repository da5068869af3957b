"""How a call of an engine can fail, as far as the store is concerned: what is known of its effect."""

from __future__ import annotations


class NotStartedError(Exception):
    """A bulk call did nothing and may be tried again, e.g. because another process holds the file's lock."""
