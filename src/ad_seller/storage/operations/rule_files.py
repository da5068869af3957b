"""Files of rules, for retention and for erasure."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from ..errors import InvalidArgumentError


def rules_in(path: Path) -> list[object]:
    """Return the list named ``rules`` of a TOML file, or of a JSON file if its name ends in ``.json``.

    Raises:
        InvalidArgumentError: it holds something else.
        OSError: it cannot be read.
    """
    is_json = path.suffix == ".json"
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if is_json else tomllib.loads(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{str(path)!r} is no {'JSON' if is_json else 'TOML'}: {error}") from error
    rules = data.get("rules") if isinstance(data, dict) else None
    if not isinstance(rules, list) or not rules:
        raise InvalidArgumentError(f"{str(path)!r} has no list of rules: [[rules]] begins each")
    return rules
