"""A storage type of one's own: after this, ``STORAGE_TYPE=scratch`` names it, too."""

from ad_seller.storage import backend_names, get_storage_backend, register_backend

register_backend("scratch", "ad_seller.storage.memory_backend:MemoryBackend")
print(type(get_storage_backend("scratch")).__name__, "scratch" in backend_names())
