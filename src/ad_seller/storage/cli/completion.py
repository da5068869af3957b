"""What the shell completes: the names of the entities."""

from __future__ import annotations

from ad_seller.storage import PREFIXES

#: The key prefix for every name that people type, singular and plural.
ENTITIES = {name: prefix for entity, prefix in PREFIXES.items() for name in (entity, f"{entity}s")}


def complete_entity(incomplete: str) -> list[str]:
    """Return the entities, in the plural, that start with what has been typed."""
    return [f"{entity}s" for entity in PREFIXES if f"{entity}s".startswith(incomplete)]


def complete_prefix(incomplete: str) -> list[str]:
    """Return the key prefixes that start with what has been typed."""
    return [prefix for prefix in PREFIXES.values() if prefix.startswith(incomplete)]
