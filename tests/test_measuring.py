"""What coverage does not follow is there, and nobody else goes without."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tests.measuring import RETOLD, UNMEASURED, untraced

TESTS = Path(__file__).parent


def test_what_is_left_out_is_there() -> None:
    assert [name for name in (*RETOLD, *UNMEASURED) if not (TESTS.parent / name).exists()] == []


def test_nobody_follows_meanwhile_and_the_same_does_afterwards() -> None:
    followed: list[str] = []

    def here(frame: FrameType, event: str, _: object) -> None:
        followed.append(frame.f_code.co_name)

    def quiet() -> None: ...

    def loud() -> None: ...

    def twice(what: Callable[[], None]) -> None:
        what()
        thread = threading.Thread(target=what)
        thread.start()
        thread.join()

    with untraced():
        sys.settrace(here)
        threading.settrace(here)
        with untraced():
            twice(quiet)
        twice(loud)
    assert "quiet" not in followed
    assert followed.count("loud") == 2
