"""What is done to a whole store, page by page, while it is in use: one operation, one file.

Public are the names in `__all__`; the command line has a command for each.
"""

from .comparing import Difference, Kind
from .copying import Copied, copy_entries
from .doctor import RULES, Finding, Fix, Place, Rule, Texts, examine, examine_settings, fixes, scan_texts
from .exporting import Exported, export_entries
from .importing import Existing, Imported, OnBadLine, import_entries
from .reading import BadLine
from .repair import Repaired, repair
from .verifying import Verified, verify
from .views import Column, View, create_views, drop_views, view_statements
from .walking import estimate

__all__ = [
    "RULES",
    "BadLine",
    "Column",
    "Copied",
    "Difference",
    "Existing",
    "Exported",
    "Finding",
    "Fix",
    "Imported",
    "Kind",
    "OnBadLine",
    "Place",
    "Repaired",
    "Rule",
    "Texts",
    "Verified",
    "View",
    "copy_entries",
    "create_views",
    "drop_views",
    "estimate",
    "examine",
    "examine_settings",
    "export_entries",
    "fixes",
    "import_entries",
    "repair",
    "scan_texts",
    "verify",
    "view_statements",
]
