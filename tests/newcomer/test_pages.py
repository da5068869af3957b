"""What is taken from a page: commands with how they end, those that are not run, files that are saved."""

from __future__ import annotations

from pathlib import Path

from tests.newcomer.pages import Command, commands, files

PAGE = """
```sh
first
second  # exit 1: nothing is there
third  # exit 0 or 4
```

<!-- not run: it needs Docker -->
```sh
fourth
```

<!-- save as: rules.toml -->
```toml
[[rules]]
```

<!-- file: examples/quickstart.py -->
```python
print()
```
"""


def test_commands_and_files(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert list(commands(page)) == [
        Command("first", frozenset({0}), ""),
        Command("second", frozenset({1}), ""),
        Command("third", frozenset({0, 4}), ""),
        Command("fourth", frozenset({0}), "it needs Docker"),
        Command("python examples/quickstart.py", frozenset({0}), ""),
    ]
    assert files(page) == {"rules.toml": "[[rules]]\n"}
