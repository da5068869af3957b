"""Namespaces: several publishers in one store, told apart by what their keys begin with.

The entry ``order:ORD-1`` of the publisher ``publisher-a`` is stored as ``ns:publisher-a:order:ORD-1``. The name is
one segment: what is no letter, digit, ``-``, ``.``, ``_`` or ``~`` is written as in a URL (RFC 3986, section 2.1).
So no name has the colon that ends it, nor a character that patterns, SQL or the slots of a cluster understand, and
no prefix begins with another one.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from ..errors import ConfigurationError, InvalidKeyError, shown
from .keys import MAX_KEY_BYTES

#: With what every key begins that lives in a namespace.
MARK: Final = "ns:"

#: Bytes that a name has at most as it is written in keys: most of a key is left for what it names.
MAX_NAME_BYTES: Final = 256

SURE: Final = MAX_KEY_BYTES // 4  #: a key of so many characters is never too long


def namespace_prefix(name: object) -> str:
    """Return with what the keys of a namespace begin.

    Args:
        name: a non-empty str without control characters, of at most 256 bytes as it is written in keys.

    Raises:
        ConfigurationError: it is anything else.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(
            f"A namespace has a name, such as publisher-a; not {shown(name)}. Without a namespace, leave it out."
        )
    if not name.isprintable():
        raise ConfigurationError(f"The name of a namespace is text without control characters, not {shown(name)}")
    written = quote(name, safe="")
    if len(written) > MAX_NAME_BYTES:
        raise ConfigurationError(
            f"The name of a namespace has at most {MAX_NAME_BYTES} bytes as it is written in keys, this one has "
            f"{len(written)}: {shown(name)}"
        )
    return f"{MARK}{written}:"


def check_length(full: str, key: str) -> None:
    """Raise `InvalidKeyError` unless ``full``, which is ``key`` in a namespace, may be a key."""
    if len(full) > SURE and len(full.encode()) > MAX_KEY_BYTES:
        room = MAX_KEY_BYTES - len(full) + len(key)
        raise InvalidKeyError(
            f"A key in this namespace has at most {room} bytes in UTF-8, this one has more: {shown(key)}", key=key
        )


def split_key(key: str) -> tuple[str, str]:
    """Return the prefix of the namespace that a key is in, and the rest; "" for the first outside of one."""
    if key.startswith(MARK):
        end = key.find(":", len(MARK)) + 1
        if end:
            return key[:end], key[end:]
    return "", key


def local_key(key: str) -> str:
    """Return what a key is called in its namespace; outside of one, the key itself."""
    while (parts := split_key(key))[0]:
        key = parts[1]
    return key
