"""What is open in one event loop of one process."""

from __future__ import annotations

from enum import Enum
from typing import Final

#: What `_remaining` answers besides milliseconds; the numbers are those of Redis's PTTL.
NO_EXPIRY: Final = -1
MISSING: Final = -2


class Later(Enum):
    """The marker of a read that is not done at once."""

    LATER = "later"


LATER: Final = Later.LATER
