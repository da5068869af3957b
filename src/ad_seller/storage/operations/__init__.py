"""What is done to a whole store, page by page, while it is in use: one operation, one file.

Public are the names in `__all__`; the command line has a command for each.
"""

from .repair import Repaired, repair
from .views import Column, View, create_views, drop_views, view_statements

__all__ = ["Column", "Repaired", "View", "create_views", "drop_views", "repair", "view_statements"]
