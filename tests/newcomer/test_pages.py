"""What is taken from a page: commands with how they end, those that are not run, files that are saved."""

from __future__ import annotations

from pathlib import Path

from tests.docs_samples import ROOT
from tests.newcomer.pages import Command, commands, files
from tests.newcomer.reader import Ended

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

```sh
fifth --storm 900
```

<!-- report: fifth --storm 900 -->
```text
section  level

3 of 3
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
        Command("fifth --storm 900", frozenset({0}), "", "section  level\n\n3 of 3"),
        Command("python examples/quickstart.py", frozenset({0}), ""),
    ]
    assert files(page) == {"rules.toml": "[[rules]]\n"}


def test_what_a_page_shows_is_what_a_command_prints() -> None:
    shown = Command("fifth", frozenset({0}), report="section  level\n\n3 of 3")
    assert Ended(shown, 0.0, 0, "section  level  \n\n3 of 3\n").is_right
    assert not Ended(shown, 0.0, 0, "section  level\n\n2 of 3\n").is_right
    assert not Ended(shown, 0.0, 1, "section  level\n\n3 of 3\n").is_right
    assert Ended(Command("first", frozenset({0})), 0.0, 0, "anything").is_right


def test_the_report_of_the_kit_is_shown() -> None:
    """So that `make newcomer` compares it; `python tests/docs_samples.py` renews it."""
    [shown] = [each for each in commands(ROOT / "docs/custom-backend.md") if each.report]
    assert shown.text.startswith("ad-seller-storage conform tests.conformance.tested_directory:backend ")
    assert shown.report.splitlines()[-1].startswith("TestedDirectory: ")
