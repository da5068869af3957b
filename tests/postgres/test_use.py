"""Ordinary use of PostgreSQL by a seller agent."""

from __future__ import annotations

from tests.groups import check_recorded_day


def test_a_recorded_day(postgres_url: str) -> None:
    check_recorded_day(postgres_url)
