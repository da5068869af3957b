"""A seller agent of the older kind."""

from ad_seller import _quiet  # before everything else

__version__ = "1.4.0"
__all__ = ["__version__"]

_quiet.settle()
