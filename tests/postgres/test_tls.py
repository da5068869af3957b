"""Connections by TLS, with a real server: what is checked, and what is said if it does not hold."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from ad_seller.storage import ConfigurationError, StorageConnectionError
from ad_seller.storage.driver.failures import NotSentError
from ad_seller.storage.postgres.connection import Connection
from ad_seller.storage.postgres.library import security_of
from ad_seller.storage.postgres.login import Known, Login
from ad_seller.storage.postgres_backend import PostgresBackend
from ad_seller.storage.testing.postgres_server import PostgresServer
from tests.certificates import CLIENT_NAME, GOOD_HOST, WRONG_HOST, Certificates, Pair
from tests.postgres.support import postgres_engine_of, run_sql, sql

Options = dict[str, str | Path]


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[PostgresServer]:
    """A server that takes nobody without TLS, and one user only with a certificate."""
    files = {
        "ssl_cert_file": certificates.server.certificate,
        "ssl_key_file": certificates.server.key,
        "ssl_ca_file": certificates.authority,
    }
    hba = [
        f"hostssl all {CLIENT_NAME} all cert",
        "hostssl all all all trust",
        "hostnossl all all all reject",
    ]
    with PostgresServer(config={"ssl": "on"}, files=files, hba=hba) as server:
        run_sql(server.socket_url(), f"CREATE ROLE {CLIENT_NAME} LOGIN SUPERUSER")
        yield server


def address(server: PostgresServer, options: Options, *, host: str = GOOD_HOST, user: str = "postgres") -> str:
    url = urlsplit(server.url(user=user))
    return url._replace(netloc=f"{user}@{host}:{server.port}", query=urlencode(options)).geturl()


async def works(url: str) -> None:
    async with PostgresBackend(url, pool_min=1) as storage:
        await storage.set("a", {"by": "TLS"})
        assert await storage.get("a") == {"by": "TLS"}
        [(encrypted,)] = await (await postgres_engine_of(storage))._client.read(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
        assert encrypted


async def refused(url: str, match: str) -> None:
    with pytest.raises(StorageConnectionError, match=match) as caught:
        await PostgresBackend(url, timeout=3).connect()
    assert caught.value.__cause__ is not None


def login(pair: Pair) -> Options:
    return {"sslcert": pair.certificate, "sslkey": pair.key}


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
async def test_good_certificate(server: PostgresServer, certificates: Certificates, mode: str) -> None:
    await works(address(server, {"sslmode": mode, "sslrootcert": certificates.authority}))


async def test_further_connections_are_secured_as_the_first(
    server: PostgresServer, certificates: Certificates
) -> None:
    trusted: Options = {"sslmode": "verify-full", "sslrootcert": certificates.authority}
    url = address(server, trusted | login(certificates.client), user=CLIENT_NAME)
    async with PostgresBackend(url, pool_min=3) as storage:
        idle = (await postgres_engine_of(storage))._client._pool._idle
        [context] = {security_of(connection._raw) for connection in idle}
        assert isinstance(context, ssl.SSLContext)
        assert context.check_hostname
        assert len(idle) == 3
        rows = await sql(
            server.socket_url(),
            "SELECT ssl FROM pg_stat_ssl NATURAL JOIN pg_stat_activity WHERE usename = $1",
            CLIENT_NAME,
        )
        assert rows == [(True,)] * 3


def login_of(url: str) -> Login:
    return Login(url, password=None, timeout=5.0, statement_cache=None, known=Known())


@pytest.mark.parametrize("first", ["with", "without"])
async def test_if_the_next_server_is_another_one_it_is_found_out_anew(
    server: PostgresServer, postgres_url: str, first: str
) -> None:
    """One server takes nobody without TLS, the other offers none; each could be the second host of a URL."""
    urls = [address(server, {}), postgres_url]
    before, after = urls if first == "with" else reversed(urls)
    known = await Connection.open(login_of(before), 10)
    other = await Connection.open(login_of(after), 10, known)
    assert [bool(security_of(one._raw)) for one in (known, other)] == [first == "with", first == "without"]
    for one in (known, other):
        one.terminate()


async def test_where_tls_is_required_none_goes_without(server: PostgresServer, postgres_url: str) -> None:
    known = await Connection.open(login_of(address(server, {})), 10)
    with pytest.raises(NotSentError, match="rejected SSL"):
        await Connection.open(login_of(f"{postgres_url}?sslmode=require"), 10, known)
    known.terminate()


@pytest.mark.parametrize("option", ["sslmode", "ssl"])
async def test_encryption_alone_asks_for_no_certificate(server: PostgresServer, option: str) -> None:
    await works(address(server, {option: "require"}, host=WRONG_HOST))


async def test_another_host_than_the_certificate_names(server: PostgresServer, certificates: Certificates) -> None:
    trusted: Options = {"sslrootcert": certificates.authority}
    await works(address(server, {"sslmode": "verify-ca", **trusted}, host=WRONG_HOST))
    await refused(
        address(server, {"sslmode": "verify-full", **trusted}, host=WRONG_HOST), "certificate.*localhost.*sslmode"
    )


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_certificate_of_somebody_else(
    server: PostgresServer, certificates: Certificates, mode: str
) -> None:
    url = address(server, {"sslmode": mode, "sslrootcert": certificates.other_authority})
    await refused(url, "certificate.*sslrootcert")


@pytest.mark.parametrize("option", ["sslrootcert", "sslcert", "sslkey"])
async def test_a_file_that_cannot_be_used_is_named(
    server: PostgresServer, certificates: Certificates, tmp_path: Path, option: str
) -> None:
    (tmp_path / "garbage.pem").write_text("hello")
    files = {"sslmode": "verify-ca", "sslrootcert": certificates.authority, **login(certificates.client)}
    for name, why in (
        ("missing.pem", "No such file"),
        ("", "Is a directory"),
        ("garbage.pem", "no certificate or key"),
    ):
        path = tmp_path / name
        await refused(address(server, files | {option: path}), f"{option}='{path}'.*{why}")


async def test_a_file_of_the_environment_that_is_missing(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "missing.pem"))
    await refused(address(server, {"sslmode": "verify-ca"}), r"sslrootcert='.*missing\.pem' cannot be read")


async def test_a_server_that_offers_none(postgres_url: str) -> None:
    await refused(f"{postgres_url}?sslmode=require", "rejected SSL.*offers no TLS.*sslmode=prefer")


async def test_a_server_that_refuses_those_without_tls(server: PostgresServer) -> None:
    await refused(address(server, {"sslmode": "disable"}), "pg_hba.conf.*sslmode=require")


async def test_a_client_with_a_certificate(server: PostgresServer, certificates: Certificates) -> None:
    trusted: Options = {"sslmode": "verify-full", "sslrootcert": certificates.authority}
    await works(address(server, trusted | login(certificates.client), user=CLIENT_NAME))


async def test_a_client_without_the_certificate_it_needs(
    server: PostgresServer, certificates: Certificates
) -> None:
    trusted: Options = {"sslmode": "verify-full", "sslrootcert": certificates.authority}
    await refused(address(server, trusted, user=CLIENT_NAME), "certificate.*sslcert")
    foreign = login(certificates.foreign_client)
    await refused(address(server, trusted | foreign, user=CLIENT_NAME), "sslcert")


def test_a_mode_that_does_not_exist(server: PostgresServer) -> None:
    with pytest.raises(ConfigurationError, match="sslmode"):
        PostgresBackend(address(server, {"sslmode": "always"}))
