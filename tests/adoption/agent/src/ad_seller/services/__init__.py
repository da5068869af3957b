"""What the agent does: each function reads, changes and writes, as agents of the older kind do."""

import uuid
from datetime import UTC, datetime


class Refused(Exception):
    """A request that is not granted, with its HTTP status."""

    def __init__(self, status: int, error: str):
        super().__init__(error)
        self.status = status
        self.error = error


def new_id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex[:12]


def now() -> str:
    return datetime.now(UTC).isoformat()


def there(record, what: str):
    if not record:
        raise Refused(404, what + " not found")
    return record
