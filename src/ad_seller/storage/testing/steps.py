"""Which step of docs/custom-backend.md tells an author of a backend what to do about a failure."""

from __future__ import annotations

import re

from .levels import Section

#: The steps, as they stand on the page.
STEPS = (
    "1. Refuse what no backend takes, before any I/O.",
    "2. Store text, not objects.",
    "3. Let a key be any text.",
    "4. Look at the clock in every operation.",
    "5. Match patterns with the one matcher.",
    "6. Write so that a crash leaves the old entry or the new one.",
    "7. Keep the event loop free.",
    "8. Close properly.",
    "9. Raise our errors.",
    "10. Say what you promise.",
)

#: What a message says first, and the step that it points to whatever was checked.
_BY_WORDS = (
    (r"declares \w+", 10),
    (r"did not end within|hung|ended the process", 7),
    (r"NotConnectedError|left behind", 8),
    (r"DID NOT RAISE.*Invalid|Invalid\w+Error", 1),
    (r"DID NOT RAISE.*Corrupt", 2),
    (r"DID NOT RAISE", 9),
)

_BY_SECTION = {
    Section.INTERFACE: 3,
    Section.KEYS: 3,
    Section.VALUES: 2,
    Section.TTL: 4,
    Section.PATTERNS: 5,
    Section.LISTINGS: 5,
    Section.CHANGES: 7,
    Section.CONCURRENCY: 8,
    Section.DURABILITY: 6,
    Section.ERRORS: 9,
}


def step_of(section: Section, reason: str) -> str:
    """Return the step that is about a failure, by its reason, or else by the section of the contract."""
    number = next((step for words, step in _BY_WORDS if re.search(words, reason)), _BY_SECTION[section])
    return STEPS[number - 1]
