"""Changing the checkout, all or nothing, and taking it back byte for byte.

What takes it back stands in one file in the checkout, which is written before anything is changed. New contents are
laid down beside the files first, so that a full disk or a read-only folder is met before the first change; what
fails after that is put back at once. If the process is killed half way, the file is still there, and ``--undo``
takes back what had been done.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..running import CommandError, Exit
from .edits import Change

UNDO = ".ad-seller-storage-undo.json"
_FORM = 1
_APPLIED, _UNFINISHED = "applied", "unfinished"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file as it was and as it was made.

    Attributes:
        name: relative to the checkout.
        before: its bytes; None if there was none.
        after: likewise.
        mode: its permissions.
    """

    name: str
    before: bytes | None
    after: bytes | None
    mode: int


def apply(root: Path, changes: Sequence[Change]) -> None:
    """Write all changes, or none.

    Raises:
        CommandError: it was written before and not taken back; a file is a link; writing failed.
    """
    if (root / UNDO).exists():
        raise CommandError(f"{UNDO} is there: this checkout was adopted.", hint="--undo takes that back first.")
    kept = [_keep(root, change) for change in changes]
    _guarded(lambda: _write_undo(root, kept, _UNFINISHED))
    try:
        _guarded(lambda: _move(root, [(each.name, each.after, each.mode) for each in kept]))
    except BaseException:
        if all(_read(root / each.name) == each.before for each in kept):  # else --undo puts the rest back
            _guarded((root / UNDO).unlink)
        raise
    _guarded(lambda: _write_undo(root, kept, _APPLIED))


def undo(root: Path, *, dirty: bool) -> list[str]:
    """Put every file back as it was, and return their names.

    Args:
        root: the checkout.
        dirty: also those that were changed since; these changes are lost.

    Raises:
        CommandError: nothing was written here, or a file has been changed since.
    """
    kept, state = _read_undo(root)
    now = {each.name: _read(root / each.name) for each in kept}
    known = {each.name: [each.after, each.before] if state == _UNFINISHED else [each.after] for each in kept}
    changed = [name for name, content in now.items() if content not in known[name]]
    if changed and not dirty:
        raise CommandError(
            f"Changed since adopt wrote it: {', '.join(changed)}. Nothing was put back.",
            hint="Take these changes away (git diff shows them), or give --dirty to lose them.",
        )
    _guarded(lambda: _write_undo(root, kept, _UNFINISHED))
    _guarded(lambda: _move(root, [(each.name, each.before, each.mode) for each in kept]))
    _guarded(lambda: _clean(root, kept))
    return [each.name for each in kept]


def _clean(root: Path, kept: Sequence[Kept]) -> None:
    """Remove what an `apply` that was killed has laid down, and at last the file that takes it back."""
    for each in kept:
        path = root / each.name
        for left in path.parent.glob(f".{path.name}.????????.tmp"):
            left.unlink()
    (root / UNDO).unlink()


def state_of(root: Path) -> str | None:
    """Return ``applied``, ``unfinished``, or None if nothing was written here."""
    return _read_undo(root)[1] if (root / UNDO).exists() else None


def _keep(root: Path, change: Change) -> Kept:
    name = change.path.relative_to(root).as_posix()
    if change.path.is_symlink():
        raise CommandError(f"{name} is a link; adopt changes files only.", hint="Put the file itself in its place.")
    if _read(change.path) != change.before:
        raise CommandError(f"{name} was changed while adopt looked at it. Nothing was written.", hint="Try again.")
    mode = change.path.stat().st_mode & 0o7777 if change.before is not None else 0o644
    return Kept(name, change.before, change.after, mode)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _guarded(work: Callable[[], object]) -> None:
    """Do the work; an error of the operating system becomes a message."""
    try:
        work()
    except OSError as error:
        raise CommandError(
            f"The checkout cannot be changed: {error}",
            hint=f"Check permissions and space. Nothing is changed; if {UNDO} is there, --undo puts back the rest.",
            code=Exit.FAILED,
        ) from error


# --- all or nothing ----------------------------------------------------------------------------------------


def _move(root: Path, files: Sequence[tuple[str, bytes | None, int]]) -> None:
    """Give each file its new content, or remove it; put back what was there if something fails."""
    before = [(name, _read(root / name)) for name, _, _ in files]
    laid = _lay_down(root, files)
    done: list[int] = []
    try:
        for position, (name, content, _) in enumerate(files):
            done.append(position)
            if content is None:
                (root / name).unlink(missing_ok=True)
            else:
                laid[name].replace(root / name)
    except BaseException:
        for position in done:
            _put_back(root, *before[position], files[position][2])
        raise
    finally:
        for path in laid.values():
            path.unlink(missing_ok=True)


def _lay_down(root: Path, files: Sequence[tuple[str, bytes | None, int]]) -> dict[str, Path]:
    """Write each new content beside its file; for a removal, see that its folder can be written to."""
    laid: dict[str, Path] = {}
    try:
        for name, content, mode in files:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
            laid[name] = beside
            _write(beside, content or b"", mode)
            if content is None:
                beside.unlink()
    except BaseException:
        for beside in laid.values():
            beside.unlink(missing_ok=True)
        raise
    return laid


def _put_back(root: Path, name: str, content: bytes | None, mode: int) -> None:
    if content is None:
        (root / name).unlink(missing_ok=True)
    elif _read(root / name) != content:
        _write(root / name, content, mode)


def _write(path: Path, content: bytes, mode: int) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)


# --- the file that takes it back ---------------------------------------------------------------------------


def _write_undo(root: Path, kept: Sequence[Kept], state: str) -> None:
    rows = [
        {"name": each.name, "mode": each.mode, "before": _text(each.before), "after": _text(each.after)}
        for each in kept
    ]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    note = "Written by `ad-seller-storage adopt --apply`; `ad-seller-storage adopt --undo` puts these files back."
    value = {"form": _FORM, "note": note, "state": state, "sha256": digest, "files": rows}
    beside = root / f"{UNDO}.{secrets.token_hex(4)}.tmp"
    try:
        _write(beside, f"{json.dumps(value, indent=1)}\n".encode(), 0o644)
        beside.replace(root / UNDO)
    finally:
        beside.unlink(missing_ok=True)


def _text(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _read_undo(root: Path) -> tuple[list[Kept], str]:
    try:
        value: dict[str, Any] = json.loads((root / UNDO).read_bytes())
        rows = value["files"]
        if value["form"] != _FORM or value["sha256"] != hashlib.sha256(json.dumps(rows).encode()).hexdigest():
            raise ValueError("it was changed, or is of a newer form")
        return [_kept(root, row) for row in rows], value["state"]
    except FileNotFoundError:
        raise CommandError(
            f"There is nothing to take back: no {UNDO} in {str(root)!r}.", hint="--undo follows an --apply."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{UNDO} cannot be used: {error}", hint="git can put the files back.") from error


def _kept(root: Path, row: dict[str, Any]) -> Kept:
    if not (root / row["name"]).resolve().is_relative_to(root):
        raise ValueError(f"{row['name']!r} lies outside of the checkout")
    before, after = (None if row[side] is None else base64.b64decode(row[side]) for side in ("before", "after"))
    return Kept(row["name"], before, after, row["mode"])
