"""Settings, compose files and scripts of the checkout: what they say about the storage."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from ad_seller.storage import backend_names, redact

from .checkout import Checkout
from .finding import Finding

_SUFFIXES = {".yml", ".yaml", ".tf", ".tfvars", ".sh", ".toml", ".cfg", ".ini", ".conf", ".service", ".json"}
_PLAIN_NAMES = ("Dockerfile", ".env", "Procfile", "Makefile", "compose", "docker-compose")
_ASSIGNED = re.compile(
    r"^\s*(?:-\s*)?(?:export\s+|ENV\s+|--env\s+)?[\"']?(STORAGE_TYPE|STORAGE_BACKEND)[\"']?\s*[=:]\s*[\"']?([\w:.${}-]*)",
    re.IGNORECASE,
)
#: As CloudFormation and Terraform write a variable of a task: its name on one line, its value on the next.
_TWO_LINES = re.compile(
    r"^[^\n#]*\bname[\"']?\s*[:=]\s*[\"']?(STORAGE_TYPE|STORAGE_BACKEND)[\"']?,?[ \t]*\n"
    r"[^\n#]*\bvalue[\"']?\s*[:=]\s*",
    re.IGNORECASE | re.MULTILINE,
)
_EVICTS = re.compile(r"maxmemory-policy[\"',\s:=]+((?:allkeys|volatile)-[a-z]+)")
_BARE_URL = re.compile(r"\b((?:postgres(?:ql)?(?:\+\w+)?|rediss?)://[^\s:/@\"'$]+@[^\s\"',]+)")
_DRIVERS = {"redis": ["redis"], "postgres": ["asyncpg"], "hybrid": ["asyncpg", "redis"]}


def scan_texts(checkout: Checkout) -> tuple[list[Finding], set[str]]:
    """Look through the files that hold settings; return what was found, and the storage types that they name."""
    found: list[Finding] = []
    types: set[str] = set()
    for path in checkout.files():
        if not (path.suffix in _SUFFIXES or path.name.startswith(_PLAIN_NAMES)):
            continue
        name = checkout.name(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            found.append(Finding("text-unreadable", name, 1, f"byte {error.start} is not UTF-8"))
            continue
        text = _TWO_LINES.sub(r"\n\1=", text)
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.lstrip().startswith("#"):
                found += (Finding(rule, name, number, shown) for rule, shown in _look(line, types))
    return sorted(set(found)), types


def _look(line: str, types: set[str]) -> Iterator[tuple[str, str]]:
    """Return what a line says, as rule and text; note the storage type that it sets."""
    if setting := _ASSIGNED.match(line):
        name, value = setting[1].upper(), setting[2].lower()
        shown = f"{setting[1]}={setting[2]}"
        if name == "STORAGE_BACKEND":
            yield "setting-unread", shown
        elif value in backend_names():
            types.add(value)
            yield from (("driver-missing", f"{shown}: {driver} is not installed") for driver in _missing(value))
        elif value and "$" not in value:
            yield "type-unknown", shown
    if evicts := _EVICTS.search(line):
        yield "evicting-redis", evicts[0]  # not the line: it may say the password, too
    if bare := _BARE_URL.search(line):
        yield "url-without-password", redact(bare[1])


def _missing(storage_type: str) -> Iterator[str]:
    return (name for name in _DRIVERS.get(storage_type, ()) if importlib.util.find_spec(name) is None)


def is_requirements(path: Path) -> bool:
    """Tell a file of pip's requirements by its name."""
    return path.suffix == ".txt" and "requirements" in path.name
