"""Where the agent's package lies in a directory, and which of its files are looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ad_seller.storage

from ..running import CommandError

#: What belongs to this package, and is compared with the agent's folder of the same name.
OURS = Path(ad_seller.storage.__file__).parent

_NOT_LOOKED_AT = {
    ".git", ".hg", ".mypy_cache", ".nox", ".pytest_cache", ".ruff_cache", ".tox", ".venv", "__pycache__", "build",
    "dist", "env", "node_modules", "site", "site-packages", "venv",
}  # fmt: skip
_MAX_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Checkout:
    """An agent's checkout.

    Attributes:
        root: the directory that was named.
        package: its ``ad_seller`` folder.
    """

    root: Path
    package: Path

    @property
    def storage(self) -> Path:
        """Its folder ``ad_seller/storage``; it need not exist."""
        return self.package / "storage"

    def name(self, path: Path) -> str:
        """Return a path as it is shown: relative to the checkout, with slashes."""
        return path.relative_to(self.root).as_posix()

    def files(self) -> Iterator[Path]:
        """Return the files that are looked at, in the order of their names; links are not followed."""
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name not in _NOT_LOOKED_AT)
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MAX_BYTES:
                    yield path


def find_checkout(directory: Path) -> Checkout:
    """Find the agent's package in a directory.

    Raises:
        CommandError: there is no such directory, or no agent in it.
    """
    if not directory.is_dir():
        raise CommandError(f"{str(directory)!r} is no directory.", hint="Name the folder of the agent's checkout.")
    root = directory.resolve()
    places = (root / "src" / "ad_seller", root / "ad_seller")
    package = next((place for place in places if place.is_dir()), None)
    if package is None:
        hint = "Name the folder that holds src/ad_seller or ad_seller, e.g. ad-seller-storage adopt ~/seller-agent"
        raise CommandError(f"There is no seller agent in {str(directory)!r}: no folder ad_seller.", hint=hint)
    found = Checkout(root, package)
    if found.storage.resolve() == OURS.resolve() or (found.storage / "cli" / "adopt").is_dir():
        raise CommandError(
            f"{str(directory)!r} is a checkout of ad-seller-storage itself.", hint="Name the agent's checkout."
        )
    outside = [path for path in (package, found.storage) if not path.resolve().is_relative_to(root)]
    if outside:
        raise CommandError(
            f"{found.name(outside[0])} is a link that leads out of {str(directory)!r}.",
            hint="Name the directory where the files really are.",
        )
    return found
