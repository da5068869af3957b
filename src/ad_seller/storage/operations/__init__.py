"""What is done to a whole store, page by page, while it is in use: one operation, one file.

Public are the names in `__all__`; the command line has a command for each.
"""

from .repair import Repaired, repair

__all__ = ["Repaired", "repair"]
