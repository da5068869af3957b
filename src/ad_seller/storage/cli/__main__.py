"""``python -m ad_seller.storage.cli`` is the command ``ad-seller-storage``."""

from ..cli import main

main()
