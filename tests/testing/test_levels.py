"""Every check has a level and a section of the contract."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from ad_seller.storage.capabilities import Capabilities
from ad_seller.storage.testing.conformance import StorageConformance
from ad_seller.storage.testing.levels import CAPABILITY, Level, Section, belongs, place_of
from tests.docs_samples import ROOT

CHECKS = [name for name in dir(StorageConformance) if name.startswith("test_")]


def test_every_check_has_a_place() -> None:
    places = Counter(place_of(StorageConformance, name) for name in CHECKS)
    assert {place.level for place in places} == set(Level)
    assert {place.section for place in places} == set(Section)
    assert places.total() == len(CHECKS) > 140


def test_every_section_is_a_heading_of_the_contract() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/contract.md").read_text(), re.MULTILINE)
    assert [heading for heading in headings if heading in set(Section)] == list(Section)


def test_every_level_is_explained() -> None:
    page = (ROOT / "docs/custom-backend.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(Level)


def test_the_levels_that_are_declared_are_capabilities() -> None:
    assert set(CAPABILITY.values()) <= set(Capabilities.__dataclass_fields__)


def test_a_check_of_a_subclass_keeps_its_place() -> None:
    class Own(StorageConformance):
        async def test_missing_entry(self) -> None: ...  # type: ignore[override]

        @belongs(Level.LOAD, Section.ERRORS)
        async def test_of_its_own(self) -> None: ...

        async def test_without_a_place(self) -> None: ...

    assert place_of(Own, "test_missing_entry") == (Level.CORE, Section.INTERFACE)
    assert place_of(Own, "test_of_its_own") == (Level.LOAD, Section.ERRORS)
    with pytest.raises(LookupError, match="belongs to no level"):
        place_of(Own, "test_without_a_place")
