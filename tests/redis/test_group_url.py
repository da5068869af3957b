"""URLs of Sentinel groups and clusters, and what is told about wrong ones."""

from __future__ import annotations

import pytest

from ad_seller.storage import ConfigurationError, open_url
from ad_seller.storage.redis.url import parse_redis_url
from ad_seller.storage.redis_backend import RedisBackend


@pytest.mark.parametrize(
    ("url", "nodes", "server"),
    [
        ("redis+cluster://a", [("a", 6379)], "redis://h:1/0"),
        ("redis+cluster://a:1,b:2", [("a", 1), ("b", 2)], "redis://h:1/0"),
        ("redis+cluster://a:1,,b/0", [("a", 1), ("b", 6379)], "redis://h:1/0"),
        ("REDIS+CLUSTER://a:1", [("a", 1)], "redis://h:1/0"),
        ("redis+cluster://[::1]:7,[fe80::2]", [("::1", 7), ("fe80::2", 6379)], "redis://h:1/0"),
        ("redis+cluster://a:1,[::1]:7", [("a", 1), ("::1", 7)], "redis://h:1/0"),
        ("redis+cluster://user:p%40w@a,b", [("a", 6379), ("b", 6379)], "redis://user:p%40w@h:1/0"),
        ("redis+cluster://:p,w:x@a", [("a", 6379)], "redis://:p,w:x@h:1/0"),
        ("rediss+cluster://a?ssl_cert_reqs=none", [("a", 6379)], "rediss://h:1/0?ssl_cert_reqs=none"),
        ("redis+sentinel://a/m", [("a", 26379)], "redis://h:1/0"),
        ("redis+sentinel://a:1,b:2/m/3", [("a", 1), ("b", 2)], "redis://h:1/3"),
        ("rediss+sentinel://:pw@a/m/0?ssl_ca_certs=/ca", [("a", 26379)], "rediss://:pw@h:1/0?ssl_ca_certs=%2Fca"),
    ],
)
def test_nodes_and_the_url_of_a_server(url: str, nodes: list[tuple[str, int]], server: str) -> None:
    parsed = parse_redis_url(url)
    assert list(parsed.nodes) == nodes
    assert parsed.server("h", 1) == server
    assert repr(open_url(url))


def test_an_ipv6_address_goes_back_into_brackets() -> None:
    assert parse_redis_url("redis+cluster://a").server("::1", 7) == "redis://[::1]:7/0"


@pytest.mark.parametrize(
    ("url", "service", "sentinel"),
    [
        ("redis+sentinel://a/mymaster", "mymaster", "redis://s:5"),
        ("redis+sentinel://:pw@a/my%2Fm/1", "my/m", "redis://s:5"),
        ("redis+sentinel://:pw@a/m/1?sentinel_password=x%26y", "m", "redis://s:5?password=x%26y"),
        (
            "redis+sentinel://a/m?sentinel_username=u&sentinel_password=x",
            "m",
            "redis://s:5?username=u&password=x",
        ),
        ("rediss+sentinel://:pw@a/m?ssl_ca_certs=/ca&db=2", "m", "rediss://s:5?ssl_ca_certs=%2Fca"),
    ],
)
def test_sentinels_have_their_own_login_and_the_same_tls(url: str, service: str, sentinel: str) -> None:
    parsed = parse_redis_url(url)
    assert parsed.service == service
    assert parsed.sentinel("s", 5) == sentinel


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis+sentinel://a:1", "names no service"),
        ("redis+sentinel://a:1/", "names no service"),
        ("redis+sentinel://a:1/m/x", "the database is a number"),
        ("redis+sentinel://a:1/m/0/1", "the database is a number"),
        ("redis+cluster://", "names no host"),
        ("redis+cluster:///0", "names no host"),
        ("redis+cluster://a/1", "only database 0"),
        ("redis+cluster://a?db=1", "only database 0"),
        ("redis+cluster://a:0", "host:port"),
        ("redis+cluster://a:65536", "host:port"),
        ("redis+cluster://a:x", "host:port"),
        ("redis+cluster://a:1:2", "host:port"),
        ("redis+cluster://[::1", "host:port"),
        ("redis+cluster://a b", "host:port"),
        ("redis+cluster://a#b", "%23"),
        ("unix+cluster:///tmp/x", "starts with redis://"),
        ("redis+clusters://a", "starts with redis://"),
        ("redis+cluster://a?no_such_option=1", "unknown or wrong option"),
    ],
)
def test_what_is_wrong_is_said(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        RedisBackend(url)


@pytest.mark.parametrize("url", ["redis+cluster://:s3cret/x@a:1", "redis+sentinel://u:s3cret?x@a:1/m"])
def test_a_password_that_is_not_encoded_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="percent-encoded") as caught:
        RedisBackend(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "nodes", "service"),
    [
        ("redis+cluster://redis:6379", (("redis", 6379),), ""),
        ("redis+cluster://cluster", (("cluster", 6379),), ""),
        ("rediss+sentinel://s,rediss:1/rediss/0", (("s", 26379), ("rediss", 1)), "rediss"),
        ("redis+sentinel://sentinel/mymaster/0", (("sentinel", 26379),), "mymaster"),
        ("redis+sentinel://redis+sentinel:1/sentinel", (("redis+sentinel", 1),), "sentinel"),
    ],
)
def test_hosts_that_are_named_like_a_part_of_the_scheme(
    url: str, nodes: tuple[tuple[str, int], ...], service: str
) -> None:
    """The service names of a compose file."""
    parsed = parse_redis_url(url)
    assert (parsed.nodes, parsed.service) == (nodes, service)


@pytest.mark.parametrize(
    "url",
    ["rediss://h:6379/0?ssl_cert_reqs=CERT_NONE", "rediss+cluster://h:6379?ssl_cert_reqs=CERT_NONE"],
)
def test_options_in_the_words_of_other_libraries(url: str) -> None:
    """As Celery and its hosts write them."""
    assert "CERT_NONE" in repr(RedisBackend(url))


def test_an_option_that_is_no_text_is_refused_by_us() -> None:
    with pytest.raises(ConfigurationError, match="unknown or wrong option"):
        RedisBackend("redis://h:6379/0?retry=3")
