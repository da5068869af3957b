"""The pytest plugin: ``pytest --storage-backend=module:Class`` runs the conformance tests on a backend.

pytest loads this file wherever the package is installed. So it stands outside of the package, and imports nothing
of it unless the option is there: the tests of others are neither slowed down nor change what their coverage sees.
"""

from __future__ import annotations

import argparse

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    add = parser.getgroup("ad-seller-storage", "conformance tests of storage backends").addoption
    add("--storage-backend", metavar="TARGET", help="Test module:Class, module:function or a URL.")
    add("--storage-url", metavar="URL", help="The database_url for it; {folder} is a new folder for each check.")
    add("--storage-level", action="append", default=[], metavar="LEVEL", help="Only this level; may come often.")
    add("--storage-check", action="append", default=[], metavar="NAME", help="Only this check; may come often.")
    add("--storage-storm", type=int, metavar="N", help="How many operations the storms of cancellations start.")
    add("--storage-seconds", type=float, default=60.0, metavar="N", help="A check that takes longer hangs.")
    add("--storage-erase", action="store_true", help="Delete the entries of a store that has some.")
    add("--storage-events", type=int, help=argparse.SUPPRESS)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Bring the kit in, if the option is there."""
    if config.getoption("--storage-backend"):
        from ad_seller.storage.testing.plugin import Kit

        config.pluginmanager.register(Kit(config), "ad_seller_storage_kit")
