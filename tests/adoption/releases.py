"""``python -m tests.adoption.releases CHECKOUT``: renew the fingerprints by which `adopt` knows public releases.

They are numbers about its functions, made from every commit of its history; no line of it is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ad_seller.storage.cli.adopt import files
from ad_seller.storage.cli.adopt.definitions import fingerprint, read_definitions


def releases(checkout: Path) -> dict[str, dict[str, list[str]]]:
    """Return the fingerprints of all functions of the storage files, by file and name."""
    found: dict[str, dict[str, set[str]]] = {}
    for module in files.OLDER:
        path = f"src/ad_seller/storage/{module}.py"
        for commit in (git(checkout, "log", "--all", "--format=%H", "--", path) or b"").decode().split():
            source = git(checkout, "show", f"{commit}:{path}")
            for name, function in read_definitions(source or b"").functions.items():
                found.setdefault(module, {}).setdefault(name, set()).add(fingerprint(function))
    return {
        module: {name: sorted(prints) for name, prints in sorted(known.items())}
        for module, known in sorted(found.items())
    }


def git(checkout: Path, *arguments: str) -> bytes | None:
    """Return what git says; None where a commit lacks the file, or a partial clone lacks the commit."""
    done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, check=False)
    return None if done.returncode else done.stdout


if __name__ == "__main__":
    text = json.dumps(releases(Path(sys.argv[1])), indent=1)
    files.RELEASED.write_text(f"{text}\n", encoding="utf-8")
