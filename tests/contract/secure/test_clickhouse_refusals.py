"""Each way to be refused by ClickHouse is explained by `doctor`, with the setting that mends it.

The ClickHouse front stands behind TLS, as a server stands behind a load balancer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nrtctl.clickhouse.client import AccessRefused, ClickHouseClient
from nrtctl.config.load import load_config
from nrtctl.config.servers import ClickHouse
from nrtctl.stack.doctor import Check, examine
from tests.plugins.certificates import Authority
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.proxy import Proxy
from tests.plugins.tls_front import TlsFront


class Secure:
    """Addresses in front of one ClickHouse, and the files that open them."""

    def __init__(self, directory: Path, front: ClickHouseFront) -> None:
        self.directory = directory
        self.authority = Authority(directory / "authority")
        self.stranger = Authority(directory / "stranger")
        self.client = self.authority.issue("client", "client.example")
        self.sealed = self.authority.issue("sealed", "client.example", password="planted")
        self.unknown = self.stranger.issue("unknown", "unknown.example")
        here = self.authority.issue("server", "localhost", "127.0.0.1")
        expired = self.authority.issue("expired", "localhost", "127.0.0.1", expired=True)
        elsewhere = self.authority.issue("elsewhere", "clickhouse.elsewhere.example")
        self.password = front.password
        self.seen = b""
        self._proxy = Proxy((front.host, front.port), seen=self._see)
        target = (front.host, front.port)
        self._fronts = {
            "https": TlsFront((self._proxy.host, self._proxy.port), here),
            "expired": TlsFront(target, expired),
            "elsewhere": TlsFront(target, elsewhere),
            "mutual": TlsFront((self._proxy.host, self._proxy.port), here, self.authority.ca),
        }
        self.urls = {name: each.url for name, each in self._fronts.items()}
        self.urls |= {
            "http": front.url,
            "https to http": front.url.replace("http", "https"),
            "http to https": self.urls["https"].replace("https", "http"),
        }

    def _see(self, data: bytes) -> None:
        self.seen += data

    def ask(self, at: str, settings: dict[str, str]) -> Check:
        """What `doctor` says of ClickHouse."""
        values = {
            "ca": self.authority.ca, "strange_ca": self.stranger.ca,
            "certificate": self.client.certificate, "key": self.client.key,
            "sealed": self.sealed.certificate, "sealed_key": self.sealed.key,
            "strange": self.unknown.certificate, "strange_key": self.unknown.key,
        }  # fmt: skip
        given = {"password": self.password, "ca_certificate": "{ca}"} | settings
        environ = {f"NRTCTL_CLICKHOUSE__{n.upper()}": v.format(**values) for n, v in given.items()}
        loaded = load_config(
            environ=environ
            | {
                "HOME": str(self.directory),
                "NRTCTL_STACK__KIND": "external",
                "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
                "NRTCTL_KAFKA__CONNECT_TIMEOUT": "100ms",
                "NRTCTL_CLICKHOUSE__URL": self.urls[at],
            },
            cwd=self.directory,
        )
        return examine(loaded.config, loaded.state_dir, "clickhouse")[0]

    def close(self) -> None:
        for each in self._fronts.values():
            each.close()
        self._proxy.close()


@pytest.fixture(scope="module")
def secure(
    clickhouse_front: ClickHouseFront, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secure]:
    made = Secure(tmp_path_factory.mktemp("secure-clickhouse"), clickhouse_front)
    yield made
    made.close()


SHOWN = {"client_certificate": "{certificate}", "client_key": "{key}"}


@pytest.mark.parametrize(
    ("at", "settings", "why", "fix"),
    [
        ("https", {"ca_certificate": ""}, "authority that is not trusted", "ca_certificate"),
        ("https", {"ca_certificate": "{strange_ca}"}, "is not trusted", "ca_certificate"),
        ("expired", {}, "has expired", "renew"),
        ("elsewhere", {}, "names other than 127.0.0.1", "clickhouse.url"),
        ("mutual", {}, "asks for a client certificate", "clickhouse.client_certificate"),
        ("mutual", {"client_certificate": "{strange}", "client_key": "{strange_key}"},
         "does not accept the client certificate", "clickhouse.client_certificate"),
        ("https to http", {}, "does not use TLS", "http://"),
        ("http to https", {}, "expects TLS, and this connection does not use it", "https://"),
        ("https", {"password": "wrong"}, "refuses the user 'default'", "CLICKHOUSE__PASSWORD"),
        ("https", {"username": "nobody"}, "refuses the user 'nobody'", "clickhouse.username"),
        ("http", {"password": "wrong"}, "refuses the user 'default'", "clickhouse.password"),
        ("https", {"ca_certificate": "/nonexistent/ca.pem"}, "no such file", "PEM"),
        ("https", {"ca_certificate": "{key}"}, "contains no certificate", "PEM"),
        ("mutual", {"client_certificate": "{sealed}", "client_key": "{sealed_key}"},
         "encrypted with another password", "must not be encrypted"),
        ("mutual", SHOWN | {"client_key": "{strange_key}"}, "does not belong to the certificate",
         "issued for"),
    ],
)  # fmt: skip
def test_a_refusal_is_explained(
    secure: Secure, at: str, settings: dict[str, str], why: str, fix: str
) -> None:
    check = secure.ask(at, settings)
    assert (check.name, check.ok) == ("ClickHouse answers", False)
    assert why in check.found
    assert check.fix is not None
    assert fix in check.fix


@pytest.mark.parametrize(("at", "settings"), [("https", {}), ("mutual", SHOWN), ("http", {})])
def test_what_is_right_is_not_refused(secure: Secure, at: str, settings: dict[str, str]) -> None:
    check = secure.ask(at, settings)
    assert (check.name, check.ok) == ("ClickHouse answers", True), check


def test_verification_can_be_switched_off(secure: Secure) -> None:
    for at in ("https", "expired", "elsewhere"):
        check = secure.ask(at, {"ca_certificate": "", "verify": json.dumps(False)})
        assert check.ok
        assert "not checked" in check.found


@pytest.mark.parametrize("password", [None, "given"])
def test_a_certificate_is_the_login_where_there_is_no_password(
    secure: Secure, password: str | None
) -> None:
    """The headers are those that ClickHouse asks for; the front itself knows no certificates."""
    secure.seen = b""
    settings = ClickHouse(
        url=secure.urls["mutual"], username="me", ca_certificate=secure.authority.ca,
        client_certificate=secure.client.certificate, client_key=secure.client.key,
    )  # fmt: skip
    with pytest.raises(AccessRefused, match="'me'"):
        ClickHouseClient(settings, url=settings.url, password=password)
    assert (b"X-ClickHouse-SSL-Certificate-Auth: on" in secure.seen) == (password is None)
    assert (b"Authorization: Basic" in secure.seen) == (password is not None)
