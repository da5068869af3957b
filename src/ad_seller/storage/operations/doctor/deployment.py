"""What compose files, recipes, Dockerfiles and ``.env`` say about the storage; `adopt` looks at them, too."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ...errors import redact
from ...records.several import all_of_kind
from ...registry import backend_names
from .variables import nearest_setting, read_elsewhere

_SUFFIXES = {".yml", ".yaml", ".tf", ".tfvars", ".sh", ".toml", ".cfg", ".ini", ".conf", ".service", ".json"}
_PLAIN_NAMES = ("Dockerfile", ".env", "Procfile", "Makefile", "compose", "docker-compose")
#: A line that sets a variable of the environment. In a shell script only what is exported is one.
_ASSIGNED = re.compile(
    r"^\s*(?:-\s*)?(?P<how>export\s+|ENV\s+|--env\s+)?[\"']?(?P<name>[A-Za-z][A-Za-z0-9_]*)[\"']?\s*[=:]\s*"
    r"[\"']?(?P<value>[\w:.${}-]*)"
)
#: As CloudFormation and Terraform write a variable of a task: its name on one line, its value on the next.
_TWO_LINES = re.compile(
    r"^[^\n#]*\bname[\"']?\s*[:=]\s*[\"']?([A-Z][A-Z0-9_]+)[\"']?,?[ \t]*\n[^\n#]*\bvalue(?:from)?[\"']?\s*[:=]\s*",
    re.IGNORECASE | re.MULTILINE,
)
_EVICTS = re.compile(r"maxmemory-policy[\"',\s:=]+((?:allkeys|volatile)-[a-z]+)")
#: A login without a password; it may be a placeholder such as ${user}.
_BARE_URL = re.compile(r"((?:postgres(?:ql)?(?:\+\w+)?|rediss?)://(?:\$\{[^}\s]*\}|[^\s:/@\"'$])+@[^\s\"',]+)")
_OPEN_REDIS = re.compile(r"\b(rediss?://(?!localhost|127\.|\[)[^\s@\"',]+)(?=[\s\"',]|$)")
_POSTGRES_WITHOUT = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?:\$\{[^}\s]*\}|[^\s:/@\"'$])+@")
_INSTALLS = re.compile(r"pip3? install[^\n]*\[([\w, -]+)\]")
_INSTANCES = re.compile(r"^\s*[\"']?(?:replicas|desired_?count)[\"']?\s*[:=]\s*[\"']?(\d+)", re.IGNORECASE)
_SQLITE = re.compile(r"STORAGE_TYPE[\"']?\s*[:=]\s*[\"']?sqlite|sqlite(?:\+aiosqlite)?:///", re.IGNORECASE)
_DRIVERS: Final = {"redis": ["redis"], "postgres": ["asyncpg"], "hybrid": ["asyncpg", "redis"]}
_EXTRAS: Final = {"asyncpg": "postgres", "redis": "redis"}
_PASSWORDS = ("DATABASE_PASSWORD", "DB_PASSWORD", "REDIS_PASSWORD")


class Place(NamedTuple):
    """A place in a file, and the name of the rule that it meets."""

    rule: str
    file: str
    line: int
    text: str


@dataclass(slots=True)
class Texts:
    """What was found in several files.

    Attributes:
        places: in the order of rules, files and lines.
        types: the storage types that are set.
    """

    places: list[Place] = field(default_factory=list)
    types: set[str] = field(default_factory=set)


def holds_settings(path: Path) -> bool:
    """Tell a file that may set variables, by its name."""
    return path.suffix in _SUFFIXES or path.name.startswith(_PLAIN_NAMES)


def scan_texts(paths: Iterable[Path], name: Callable[[Path], str]) -> Texts:
    """Look through the files that hold settings.

    Args:
        paths: files; those that hold none are passed over.
        name: how a path is shown.
    """
    found = Texts()
    images: dict[str, str] = {}
    for path in filter(holds_settings, all_of_kind("paths", paths, Path)):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            found.places.append(Place("text-unreadable", name(path), 1, f"byte {error.start} is not UTF-8"))
            continue
        if path.name.startswith("Dockerfile"):
            images[name(path)] = text
        _scan(_TWO_LINES.sub(r"\n\1=", text), name(path), path.suffix == ".sh", found)
    for shown, text in images.items():
        found.places += _image(shown, text, found.types)
    found.places = sorted(set(found.places))
    return found


def _scan(text: str, shown: str, is_script: bool, found: Texts) -> None:
    lacks_password = _POSTGRES_WITHOUT.search(text) is not None
    has_sqlite = any(_SQLITE.search(line) for line in text.splitlines() if not line.lstrip().startswith("#"))
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        for rule, said in (*_assigned(line, is_script, lacks_password, found.types), *_urls(line)):
            found.places.append(Place(rule, shown, number, said))
        instances = _INSTANCES.match(line)
        if has_sqlite and instances is not None and int(instances[1]) > 1:
            found.places.append(Place("sqlite-several-machines", shown, number, instances[0].strip()))


def _assigned(line: str, is_script: bool, lacks_password: bool, types: set[str]) -> Iterator[tuple[str, str]]:
    """Return what a line says that sets a variable; note the storage type that it sets."""
    setting = _ASSIGNED.match(line)
    if setting is None:
        return
    name, value = setting["name"].upper(), setting["value"].lower()
    shown = f"{setting['name']}={setting['value']}"
    if name == "STORAGE_BACKEND":
        yield "setting-unread", shown
    elif name == "STORAGE_TYPE" and value in backend_names():
        types.add(value)
        yield from (("driver-missing", f"{shown}: {driver} is not installed") for driver in _missing(value))
    elif name == "STORAGE_TYPE" and value and "$" not in value:
        yield "type-unknown", shown
    elif name in _PASSWORDS and lacks_password and not is_script:
        yield "password-apart", setting["name"]
    elif setting["name"].isupper() and (not is_script or setting["how"]) and not read_elsewhere(name):
        near = nearest_setting(name)
        yield "variable-unread", setting["name"] + (f" (is {near} meant?)" if near else "")


def _urls(line: str) -> Iterator[tuple[str, str]]:
    if evicts := _EVICTS.search(line):
        yield "evicting-redis", evicts[0]  # not the line: it may say the password, too
    if bare := _BARE_URL.search(line):
        yield "url-without-password", redact(bare[1])
    if open_redis := _OPEN_REDIS.search(line):
        yield "redis-without-password", redact(open_redis[1])


def _missing(storage_type: str) -> Iterator[str]:
    return (name for name in _DRIVERS.get(storage_type, ()) if importlib.util.find_spec(name) is None)


def _image(shown: str, text: str, types: set[str]) -> Iterator[Place]:
    """Return the drivers that an image lacks, judged by the extras that its pip is told to install."""
    number, extras = 0, set[str]()
    for position, line in enumerate(text.splitlines(), start=1):
        if installs := _INSTALLS.search(line):
            number, extras = position, extras | {name.strip() for name in installs[1].split(",")}
    if not number or "all" in extras:
        return
    for driver in sorted({driver for each in types for driver in _DRIVERS.get(each, ())}):
        if _EXTRAS[driver] not in extras and not re.search(rf"pip3? install[^\n]*\b{driver}\b(?![^\n]*\])", text):
            users = ", ".join(sorted(each for each in types if driver in _DRIVERS.get(each, ())))
            yield Place(
                "driver-not-in-image",
                shown,
                number,
                f"no {driver} for STORAGE_TYPE={users}: [{', '.join(sorted(extras))}]",
            )
