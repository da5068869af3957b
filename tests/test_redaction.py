"""No text of ours shows a password, however it was written into a URL or a connection string."""

from __future__ import annotations

import pytest

from ad_seller.storage import redact
from ad_seller.storage.errors import shown_url


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:correct horse battery@127.0.0.1:1/db",
        "redis://:correct horse battery@127.0.0.1:1/0",
        "redis://:correct @ horse@127.0.0.1:1/0",
        "redis://:a://horse@host",
        "redis://:it's a horse@host",
        "host=db user=app password='correct horse battery'",
        "host=db user=app password = horse",
        "host=db password='it\\'s a horse' user=app",
        'host=db password="correct horse"',
        "cache.example.com:6380,password=horse,ssl=True",
        "redis://h/0?password=correct horse battery&db=1",
        "postgresql://h/d?sslmode=require&password=a horse",
        "Server=db;User=app;Pwd=horse;",
    ],
)
@pytest.mark.parametrize("around", ["{}", "{!r}: cannot connect", "Not {!r}, nor 'redis://:horse@b'; try again"])
def test_password_is_not_shown(text: str, around: str) -> None:
    for shown in (redact(around.format(text)), shown_url(text)):
        for word in ("horse", "battery", "correct"):
            assert word not in shown, shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'redis://u:p@h/0': cannot read 'deal a@b'", "'redis://***@h/0': cannot read 'deal a@b'"),
        ("from redis://a:b@h1 to redis://c:d@h2/0", "from redis://***@h1 to redis://***@h2/0"),
        ("pass password= to the backend, or set it", "pass password= to the backend, or set it"),
        ("sqlite:///./ad.db is there", "sqlite:///./ad.db is there"),
        ("host=db password='a b' user=app", "host=db password=*** user=app"),
        ("host=db password = x user=app", "host=db password = *** user=app"),
        ("postgresql://h/d?password=*** cannot be reached (refused)",) * 2,  # redacted before: the reason stays
    ],
)
def test_the_rest_stays_readable(text: str, shown: str) -> None:
    assert redact(text) == shown
