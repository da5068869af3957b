"""What git says about the files that are to be changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..running import CommandError


def uncommitted(root: Path, paths: Sequence[Path]) -> list[str]:
    """Return which of the files differ from the last commit, or are not in it; none where there is no repository.

    Raises:
        CommandError: there is a repository, and git cannot tell.
    """
    if not paths or not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return []
    command = ["git", "-C", str(root), "status", "--porcelain", "-z", "--ignored", "--untracked-files=all", "--"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # those of a hook
    try:
        done = subprocess.run([*command, *map(str, paths)], env=env, capture_output=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _untold(str(error)) from error
    if done.returncode:
        raise _untold(done.stderr.decode("utf-8", "replace").strip())
    return [line[3:] for line in done.stdout.decode("utf-8", "replace").split("\0") if line[2:3] == " "]


def _untold(reason: str) -> CommandError:
    return CommandError(
        f"git cannot tell whether these files have uncommitted changes: {reason}",
        hint="Mend that, or give --dirty if you have a copy.",
    )
