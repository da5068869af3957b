"""Which variables of the environment somebody reads, and which only look so."""

from __future__ import annotations

import difflib
import re
from typing import Final

from ...settings import SETTINGS

#: Variables that look like settings of a storage.
_LOOKS_LIKE_OURS: Final = re.compile(r"(STORAGE|SQLITE|REDIS|POSTGRES|POSTGRESQL|DATABASE|DB)_[A-Z0-9_]+")

#: What the images of servers, libpq and orchestrators read; https://hub.docker.com/_/postgres names the first.
_OTHERS: Final = re.compile(
    r"POSTGRES_(USER|PASSWORD|DB|INITDB_ARGS|INITDB_WALDIR|HOST_AUTH_METHOD)(_FILE)?|REDIS_(ARGS|PORT|SERVICE_\w+)|"
    r"\w+_(PORT_\d+_TCP\w*|SERVICE_HOST|SERVICE_PORT\w*)"
)


def read_elsewhere(name: str) -> bool:
    """Tell whether nobody need wonder about a variable: it is a setting, others read it, or it looks like neither.

    Args:
        name: in capitals.
    """
    return name in SETTINGS or not _LOOKS_LIKE_OURS.fullmatch(name) or _OTHERS.fullmatch(name) is not None


def nearest_setting(name: str) -> str | None:
    """Return the setting that was most likely meant, or None."""
    return next(iter(difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0.8)), None)
