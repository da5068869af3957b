"""The command ``ad-seller-storage``, also where an agent's own ``ad_seller`` package stands in the way.

Before an agent is adopted, Python finds the agent's ``ad_seller.storage`` instead of ours, and `adopt` is what
mends that. So the command begins outside of the package, and makes ``ad_seller`` begin in the folder beside this
file.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, ModuleType

_INTERRUPTED = 130  # 128 + SIGINT, as shells count
_OVERWRITTEN = (
    "error: Another distribution has put files of its own into {}.\n"
    "hint: `pip install --force-reinstall --no-deps` this package, `ad-seller-storage adopt` the checkout that the "
    "agent is built from, and install the agent anew."
)


def main() -> None:
    """Run the command line and leave with its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not that of a job in the background
        signal.signal(signal.SIGINT, _leave)
    import logging
    import pkgutil
    from pathlib import Path

    folder = Path(__file__).parent / "ad_seller"
    package = ModuleType("ad_seller")
    package.__path__ = pkgutil.extend_path([str(folder)], "ad_seller")
    sys.modules["ad_seller"] = package
    log = logging.getLogger("ad_seller.storage")
    log.disabled = True  # of an agent that was not adopted yet, `adopt` says more than the line at the import
    try:
        from ad_seller.storage import redact  # noqa: F401  # an older agent's storage has no such name
        from ad_seller.storage.cli import main as run
    except ImportError as error:
        if not (error.name or "").startswith("ad_seller"):
            raise
        sys.exit(_OVERWRITTEN.format(folder / "storage"))
    log.disabled = False
    run()


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once at Ctrl-C while modules are imported: nothing was begun."""
    os.write(2, b"error: Interrupted.\n")
    os._exit(_INTERRUPTED)
