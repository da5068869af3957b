"""What a backend promises beyond the seven methods; declared by it, checked by the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

#: "store": among all processes that use the same store. "process": among the tasks of this process only.
Scope = Literal["process", "store"]

#: Bytes of a key in UTF-8, unless a backend leaves room for fewer.
MAX_KEY_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class Health:
    """What a store said when it was asked.

    Attributes:
        seconds: how long a lone read took, or until it failed.
        doubts: why it may lose what it acknowledged; each a sentence with what to do.
        error: why it did not answer, or None.
        backend: the class of the backend that was asked.
        sides: the same of each side of a hybrid; its own is the slower one, with all doubts and the first error.
    """

    seconds: float
    doubts: tuple[str, ...]
    error: Exception | None
    backend: str = ""
    sides: Mapping[str, Health] = field(default_factory=dict)

    @property
    def is_reachable(self) -> bool:
        """Whether it answered."""
        return self.error is None

    @property
    def is_healthy(self) -> bool:
        """The same as `is_reachable`."""
        return self.is_reachable


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The promises of one backend.

    Attributes:
        atomic: where the atomic tools (`create`, `update`, `transaction`, …) hold.
        expiry: who knows the remaining time of an entry: the store, or only the process that wrote it.
        durable: an acknowledged write survives the end of the process.
        shared: several processes can use one store at the same time.
        atomic_batches: `set_many` and `delete_many` apply all or nothing, `get_many` is one moment's view.
        max_key_bytes: bytes that a key has at most, in UTF-8; fewer in a namespace.
    """

    atomic: Scope = "process"
    expiry: Scope = "process"
    durable: bool = False
    shared: bool = False
    atomic_batches: bool = False
    max_key_bytes: int = MAX_KEY_BYTES

    @property
    def in_words(self) -> str:
        """What is promised, as a phrase for people."""
        return ", ".join(
            (
                "survives a restart" if self.durable else "does not survive a restart",
                "for several processes" if self.shared else "for one process",
                "atomic in the store" if self.atomic == "store" else "atomic in this process",
            )
        )
