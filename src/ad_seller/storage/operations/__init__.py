"""What is done to a whole store, page by page, while it is in use: one operation, one file.

Public are the names in `__all__`; the command line has a command for each.
"""

from .backup import BackedUp, PageProgress, Restored, backup, restore
from .comparing import Difference, Kind
from .copying import Copied, copy_entries
from .doctor import (
    RULES,
    Finding,
    Fix,
    Place,
    Rule,
    Texts,
    examine,
    examine_settings,
    examine_unopened,
    fixes,
    scan_texts,
)
from .erasure import Erasure, erase
from .erasure_map import DEFAULT_MAP, ErasureRule, read_map
from .exporting import Exported, export_entries
from .holds import Hold, holds_of, place_hold, release_hold
from .importing import Existing, Imported, OnBadLine, import_entries
from .older import older_form, opened_as_it_is
from .reading import BadLine
from .repair import Repaired, repair
from .retention import Retained, apply_retention, retain
from .retention_rules import RetentionRule, read_rules
from .verifying import Verified, verify
from .views import Column, View, create_views, drop_views, view_statements
from .walking import estimate

__all__ = [
    "DEFAULT_MAP",
    "RULES",
    "BackedUp",
    "BadLine",
    "Column",
    "Copied",
    "Difference",
    "Erasure",
    "ErasureRule",
    "Existing",
    "Exported",
    "Finding",
    "Fix",
    "Hold",
    "Imported",
    "Kind",
    "OnBadLine",
    "PageProgress",
    "Place",
    "Repaired",
    "Restored",
    "Retained",
    "RetentionRule",
    "Rule",
    "Texts",
    "Verified",
    "View",
    "apply_retention",
    "backup",
    "copy_entries",
    "create_views",
    "drop_views",
    "erase",
    "estimate",
    "examine",
    "examine_settings",
    "examine_unopened",
    "export_entries",
    "fixes",
    "holds_of",
    "import_entries",
    "older_form",
    "opened_as_it_is",
    "place_hold",
    "read_map",
    "read_rules",
    "release_hold",
    "repair",
    "restore",
    "retain",
    "scan_texts",
    "verify",
    "view_statements",
]
