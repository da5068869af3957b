"""The command line ``ad-seller-storage``: look into a store, change it, replay a recorded day, test a backend.

Every file here is one group of commands. They use only what `ad_seller.storage` exports, like any caller;
`conform` uses the kit of `ad_seller.storage.testing`, too.

Exit codes: 0 done or found, 1 not found (``replay``: it differs from the recording, ``conform``: a check failed),
2 wrong usage, 3 the store cannot be reached or refuses, 4 a stored value is corrupt or another failure, 130
interrupted, 141 the reader of the output went away.
"""

from __future__ import annotations

import sys

PROGRAM = "ad-seller-storage"
_OPTIONAL = {"typer", "rich"}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Args:
        arguments: what follows the program's name; None takes it from ``sys.argv``.
    """
    try:
        from .app import start
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _OPTIONAL:
            raise
        sys.stderr.write(
            f"error: The command line needs the package {package!r}, which is not installed.\n"
            "hint: pip install 'ad-seller-storage[cli]'\n"
        )
        raise SystemExit(2) from None
    start(arguments)


__all__ = ["PROGRAM", "main"]
