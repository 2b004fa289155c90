"""Certificates of a test's own: an authority, and server and client certificates by it.

Keys are PKCS #8, which Apache Kafka's PEM key stores ask for.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

LONG_AGO = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """An authority whose files are in `directory`; `ca` is its certificate."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))

    def issue(
        self, name: str, *hosts: str, expired: bool = False, password: str | None = None
    ) -> Issued:
        """A certificate for `hosts` (common name `name`), its key sealed with `password`."""
        made = self._authority.issue_cert(
            *hosts, common_name=name, not_after=LONG_AGO if expired else None
        )
        key = load_pem_private_key(made.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM,
            PrivateFormat.PKCS8,
            BestAvailableEncryption(password.encode()) if password else NoEncryption(),
        )
        return Issued(
            self._directory / name, key, b"".join(each.bytes() for each in made.cert_chain_pems)
        )


class Issued:
    """`certificate` and `key` are PEM files, `both` holds one after the other."""

    def __init__(self, stem: Path, key: bytes, chain: bytes) -> None:
        self.certificate = stem.with_suffix(".crt")
        self.key = stem.with_suffix(".key")
        self.both = stem.with_suffix(".both.pem")
        self.certificate.write_bytes(chain)
        self.key.write_bytes(key)
        self.both.write_bytes(key + chain)
