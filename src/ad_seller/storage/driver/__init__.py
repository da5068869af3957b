"""What an engine is to the rest of the package: for our engines, and for authors of others.

Public are the names in `__all__`; docs/custom-backend.md says how they are used.
"""

from ..records.codec import decode, encode
from ..records.expiry import TTL, check_ttl
from ..records.globs import Glob, compile_glob
from ..records.keys import check_key
from ..records.markers import KEEP, Keep
from .commit import Commit, Delete, Expect, Outcome, Put, Refused, Touch, Write
from .engine import MISSING, NO_EXPIRY, WOULD_BLOCK, Engine, WouldBlock
from .failures import EngineError, LostError, NotSentError, NotStartedError
from .query import KeyQuery
from .transfer import StoredEntry

__all__ = [
    "KEEP",
    "MISSING",
    "NO_EXPIRY",
    "TTL",
    "WOULD_BLOCK",
    "Commit",
    "Delete",
    "Engine",
    "EngineError",
    "Expect",
    "Glob",
    "Keep",
    "KeyQuery",
    "LostError",
    "NotSentError",
    "NotStartedError",
    "Outcome",
    "Put",
    "Refused",
    "StoredEntry",
    "Touch",
    "WouldBlock",
    "Write",
    "check_key",
    "check_ttl",
    "compile_glob",
    "decode",
    "encode",
]
