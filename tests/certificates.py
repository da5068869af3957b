"""Certificates for servers with TLS, made anew for each run of the tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

GOOD_HOST = "127.0.0.1"  #: the server's certificate is for this name
WRONG_HOST = "localhost"  #: the same server, by a name that its certificate lacks
CLIENT_NAME = "seller"  #: the common name of the client's certificate, which PostgreSQL takes for the user


@dataclass(frozen=True)
class Pair:
    """A certificate, and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """What both ends of a connection need; everything is signed by `authority`.

    Attributes:
        authority: whom clients and servers are to trust.
        other_authority: one that has signed nothing.
        server: of `GOOD_HOST`.
        client: of `CLIENT_NAME`.
        foreign_client: likewise, but signed by the other authority.
    """

    authority: Path
    other_authority: Path
    server: Pair
    client: Pair
    foreign_client: Pair


def make_certificates(folder: Path) -> Certificates:
    """Write new certificates into ``folder``; the keys are readable for their owner only."""
    authority, other = trustme.CA(), trustme.CA()
    return Certificates(
        authority=_write(folder / "authority.pem", authority.cert_pem),
        other_authority=_write(folder / "other.pem", other.cert_pem),
        server=_pair(folder, "server", authority.issue_cert(GOOD_HOST)),
        client=_pair(folder, "client", authority.issue_cert("seller@example.org", common_name=CLIENT_NAME)),
        foreign_client=_pair(folder, "foreign", other.issue_cert("seller@example.org", common_name=CLIENT_NAME)),
    )


def _pair(folder: Path, name: str, issued: trustme.LeafCert) -> Pair:
    [certificate] = issued.cert_chain_pems
    return Pair(_write(folder / f"{name}.pem", certificate), _write(folder / f"{name}.key", issued.private_key_pem))


def _write(path: Path, blob: trustme.Blob) -> Path:
    path.touch(mode=0o600)
    blob.write_to_path(path)
    return path
