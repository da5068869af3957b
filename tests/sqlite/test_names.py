"""The names of an open file: whatever leads them elsewhere is seen, also when only their folder is looked at."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ad_seller.storage.sqlite import identity
from ad_seller.storage.sqlite.identity import Identity, Names, identity_of

SUFFIXES = ("", "-wal", "-shm")

#: What somebody does to ``data/x.db`` while a process has it open; the folder above is theirs, too.
Deed = Callable[[Path], object]


def name(top: Path, suffix: str = "") -> Path:
    return top / "data" / f"x.db{suffix}"


def moved_and_copied_back(top: Path) -> None:
    (top / "data").rename(top / "old")
    shutil.copytree(top / "old", top / "data")


def moved_and_another_linked(top: Path) -> None:
    (top / "data").rename(top / "old")
    shutil.copytree(top / "old", top / "other")
    (top / "data").symlink_to(top / "other")


def removed_and_time_set_back(top: Path) -> None:
    before = (top / "data").stat()
    name(top, "-wal").unlink()
    os.utime(top / "data", ns=(before.st_atime_ns, before.st_mtime_ns))


def removed(top: Path, suffix: str) -> None:
    name(top, suffix).unlink()


def renamed(top: Path, suffix: str) -> None:
    name(top, suffix).rename(top / "away")


def replaced(top: Path, suffix: str) -> None:
    shutil.copy(name(top, suffix), top / "new")
    (top / "new").replace(name(top, suffix))


DEEDS: dict[str, Deed] = {
    **{
        f"{deed.__name__} {end}": partial(deed, suffix=end)
        for deed in (removed, renamed, replaced)
        for end in SUFFIXES
    },
    "move the folder": lambda top: (top / "data").rename(top / "away"),
    "move the folder above": lambda top: top.rename(top.with_name("above")),
    "move the folder, copy it back": moved_and_copied_back,
    "move the folder, link another": moved_and_another_linked,
    "set the time back": removed_and_time_set_back,
}


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder above, with the three files in ``data``; soon a look at that is enough."""
    monkeypatch.setattr(identity, "_SETTLED_COARSE", 0.1)  # as `_SETTLED`, if the time happens to be a whole second
    top = tmp_path.resolve() / "top"
    (top / "data").mkdir(parents=True)
    for suffix in SUFFIXES:
        name(top, suffix).write_text(suffix)
    return top


def settled(path: Path, real: Path) -> tuple[Names, Identity]:
    """Names that have been looked at until the folder is enough."""
    names, files = Names(str(path), str(real)), identity_of(str(path), str(real))
    while names._settled is None:
        assert names.lead_to(files)
    return names, files


@pytest.mark.parametrize("deed", DEEDS)
def test_what_leads_them_elsewhere_is_seen(deed: str, top: Path) -> None:
    names, files = settled(name(top), name(top))
    assert names.lead_to(files)
    DEEDS[deed](top)
    for _ in range(3):
        assert not names.lead_to(files)


def test_what_happens_beside_them_is_no_matter(top: Path) -> None:
    names, files = settled(name(top), name(top))
    name(top, ".copy").write_text("x")
    (top / "data" / "folder").mkdir()
    assert names.lead_to(files)
    name(top, "-wal").unlink()
    assert not names.lead_to(files)


def test_two_changes_within_a_step_of_time_are_told_apart(top: Path) -> None:
    """A look at the folder is not enough as long as its last change may have the time of the next one."""
    names, files = Names(str(name(top)), str(name(top))), identity_of(str(name(top)), str(name(top)))
    for _ in range(100):
        assert names.lead_to(files)
        name(top, "-wal").rename(top / "away")
        assert not names.lead_to(files)
        (top / "away").rename(name(top, "-wal"))


def test_a_symbolic_link_to_the_file(top: Path) -> None:
    """It stands in another folder than the log."""
    link = top / "link.db"
    link.symlink_to(name(top))
    names, files = settled(link, name(top))
    shutil.copy(name(top), top / "other.db")
    link.unlink()
    link.symlink_to(top / "other.db")
    assert not names.lead_to(files)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_that_became_a_symbolic_link_is_always_followed(suffix: str, top: Path) -> None:
    names, files = settled(name(top), name(top))
    name(top, suffix).rename(top / "moved")
    name(top, suffix).symlink_to(top / "moved")
    shutil.copy(top / "moved", top / "another")
    changed = (top / "data").stat().st_ctime_ns
    while time.time_ns() < changed + 2 * identity._SETTLED * 1e9:
        assert names.lead_to(files)
    (top / "another").replace(top / "moved")
    assert not names.lead_to(files)


def test_where_time_goes_in_whole_seconds_it_takes_longer_to_settle() -> None:
    assert identity._settled_after(1_700_000_000_000_000_000) >= 2 * 1e9
    assert identity._settled_after(1_700_000_000_004_000_000) < 1e9
