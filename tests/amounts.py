"""How often tests do the same again: less in `make test` than where CI runs everything."""

from __future__ import annotations

import os

#: `make coverage`, and so CI, sets AD_SELLER_MORE=1; `AD_SELLER_ALL_TESTS=1` is more than that.
ALL = bool(os.environ.get("AD_SELLER_ALL_TESTS"))
MORE = ALL or bool(os.environ.get("AD_SELLER_MORE"))


def times(usually: int, in_ci: int, at_most: int | None = None) -> int:
    """Return how often: in `make test`, in CI, and where all tests are asked for (as in CI unless it is said)."""
    return (in_ci if at_most is None else at_most) if ALL else in_ci if MORE else usually
