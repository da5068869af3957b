"""Loggers of libraries that talk too much."""

import logging


def settle():
    logging.getLogger("asyncio").setLevel(logging.ERROR)
