"""The command `adopt`: what moving an agent's checkout to this package takes; it can be written, and taken back.

`commands` is public. `command` hands over to `moving`, which uses `plan`: `files` (what is replaced), `edits`
(lines in files that stay), `code` and `texts` (what behaves differently). `writing` changes the checkout and takes
it back; `data` and `stores` look at the store without opening it as ours; `page` shows it all.
"""

from __future__ import annotations

from .command import commands

__all__ = ["commands"]
