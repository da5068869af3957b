"""Who else has files of this package: an agent that was not adopted yet, or one installed over it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

log = logging.getLogger("ad_seller.storage")

#: What an older agent's storage folder has; this package has each of them, too.
_OLDER = (
    "__init__.py",
    "base.py",
    "factory.py",
    "hybrid_backend.py",
    "postgres_backend.py",
    "redis_backend.py",
    "sqlite_backend.py",
)
_CURE = "`ad-seller-storage adopt CHECKOUT` shows how to remove them from the agent"


def report_owners(folders: Sequence[str]) -> None:
    """Say in one log line each what an agent has beside ours under the same name.

    Args:
        folders: where modules of `ad_seller.storage` are looked for, ours first.
    """
    ours = Path(folders[0])
    for folder in map(Path, folders[1:]):
        twice = sorted(name for name in _OLDER if (folder / name).is_file())
        if twice:
            log.warning("Not used, this package has them too: %s in %s. %s.", ", ".join(twice), folder, _CURE)
    for owner in _distributions(ours):
        log.warning(
            "%s has files of this package too, and overwrites them when it is installed later: %s. %s; then "
            "install it anew, and this package once more.",
            owner,
            ours,
            _CURE,
        )


def _distributions(ours: Path) -> Iterator[str]:
    """Return the names of other distributions that have installed our ``__init__.py``.

    That takes some milliseconds, so it is asked only where an agent's package is installed in the same folder.
    """
    installed = ours.parent.parent
    if not (installed / "ad_seller" / "__init__.py").is_file():
        return
    for record in sorted(installed.glob("*.dist-info/RECORD")):
        name = record.parent.name.partition("-")[0]
        try:
            if name != "ad_seller_storage" and b"\nad_seller/storage/__init__.py," in b"\n" + record.read_bytes():
                yield name
        except OSError:
            continue
