"""Ids that sort by time."""

from __future__ import annotations

import os
import threading
import time
import uuid

import pytest

from ad_seller.storage import InvalidArgumentError, new_id


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_id())
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_of_one_process_sort_by_the_order_of_making_in_all_threads() -> None:
    made: list[list[str]] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(new_id() for _ in range(5_000))) for mine in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({one for mine in made for one in mine}) == 20_000


def test_a_clock_that_is_set_back_does_not_turn_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    hour_ago = time.time_ns() - 3_600_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: hour_ago)
    second, third = new_id(), new_id()
    assert first < second < third


def test_parent_and_child_make_different_ids() -> None:
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode() != new_id()
    os.close(reader)
    os.close(writer)


def test_a_prefix_stands_before_it_and_is_a_str() -> None:
    assert new_id("ORD-").startswith("ORD-0")
    with pytest.raises(InvalidArgumentError, match="prefix"):
        new_id(7)  # type: ignore[arg-type]
