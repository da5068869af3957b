"""What a backend promises beyond the seven methods; declared by it, checked by the conformance kit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: "store": among all processes that use the same store. "process": among the tasks of this process only.
Scope = Literal["process", "store"]

#: Bytes of a key in UTF-8, unless a backend leaves room for fewer.
MAX_KEY_BYTES: Final = 2048


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
