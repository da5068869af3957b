"""Settings, compose files and scripts of the checkout: what they say about the storage."""

from __future__ import annotations

from pathlib import Path

from ad_seller.storage.operations import scan_texts as scan

from .checkout import Checkout
from .finding import Finding


def scan_texts(checkout: Checkout) -> tuple[list[Finding], set[str]]:
    """Look through the files that hold settings; return what was found, and the storage types that they name."""
    found = scan(checkout.files(), checkout.name)
    return [Finding(*place) for place in found.places], found.types


def is_requirements(path: Path) -> bool:
    """Tell a file of pip's requirements by its name."""
    return path.suffix == ".txt" and "requirements" in path.name
