"""What is done to a whole store, page by page, while it is in use: one operation, one file.

Public are the names in `__all__`; the command line has a command for each.
"""

from .exporting import Exported, export_entries
from .importing import Existing, Imported, OnBadLine, import_entries
from .reading import BadLine
from .repair import Repaired, repair
from .views import Column, View, create_views, drop_views, view_statements

__all__ = [
    "BadLine",
    "Column",
    "Existing",
    "Exported",
    "Imported",
    "OnBadLine",
    "Repaired",
    "View",
    "create_views",
    "drop_views",
    "export_entries",
    "import_entries",
    "repair",
    "view_statements",
]
