"""Logins step by step, and whose a connection is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import sys

import pytest

from nrtctl.local.broker import peers
from nrtctl.local.broker.login import MECHANISMS, Credentials, Login, LoginRefused
from nrtctl.local.broker.peers import Peers
from nrtctl.local.broker.wire.apis import Api

PASSWORD = "geheim, žluť="


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return Credentials(PASSWORD)


@pytest.fixture
def login(credentials: Credentials) -> Login:
    return Login(credentials, is_in=False)


class Scram:
    """The client's half of RFC 5802, written apart from the broker's."""

    def __init__(
        self,
        password: str = PASSWORD,
        user: str = "nrtctl",
        nonce: str = "abc",
        digest: str = "sha256",
    ) -> None:
        self.password, self.nonce, self.digest = password.encode(), nonce, digest
        self.bare = f"n={user},r={nonce}".encode()

    def final(self, first: bytes, *, binding: bytes = b"biws", nonce: bytes | None = None) -> bytes:
        said = dict(part.split(b"=", 1) for part in first.split(b","))
        digest = self.digest
        salted = hashlib.pbkdf2_hmac(
            digest, self.password, base64.b64decode(said[b"s"]), int(said[b"i"])
        )
        client_key = hmac.digest(salted, b"Client Key", digest)
        stored = hashlib.new(digest, client_key).digest()
        plain = b"c=" + binding + b",r=" + (said[b"r"] if nonce is None else nonce)
        message = self.bare + b"," + first + b"," + plain
        signature = hmac.digest(stored, message, digest)
        self.expected = hmac.digest(hmac.digest(salted, b"Server Key", digest), message, digest)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return plain + b",p=" + base64.b64encode(proof)


@pytest.mark.parametrize(
    ("mechanism", "digest"), [("SCRAM-SHA-256", "sha256"), ("SCRAM-SHA-512", "sha512")]
)
def test_scram_proves_both_sides(login: Login, mechanism: str, digest: str) -> None:
    client = Scram(digest=digest)
    assert login.choose(mechanism, 1)
    first = login.answer(b"n,," + client.bare)
    assert (login.failed, login.is_in) == ("", False)
    last = login.answer(client.final(first))
    assert (last, login.is_in) == (b"v=" + base64.b64encode(client.expected), True)


def test_an_older_librdkafkas_nonce_is_taken(login: Login) -> None:
    client = Scram()
    login.choose("SCRAM-SHA-256", 1)
    first = login.answer(b"n,," + client.bare)
    whole = first.split(b",")[0].removeprefix(b"r=")
    login.answer(client.final(first, nonce=b"abc" + whole))
    assert login.is_in


@pytest.mark.parametrize(
    ("client", "change"),
    [
        pytest.param(Scram("wrong"), {}, id="password"),
        pytest.param(Scram(user="admin"), {}, id="user"),
        pytest.param(Scram(), {"nonce": b"abc"}, id="nonce"),
        pytest.param(Scram(), {"binding": b"eSws"}, id="channel binding"),
    ],
)
def test_scram_is_refused(login: Login, client: Scram, change: dict[str, bytes]) -> None:
    login.choose("SCRAM-SHA-256", 1)
    first = login.answer(b"n,," + client.bare)
    with pytest.raises(LoginRefused):
        login.answer(client.final(first, **change))
    assert not login.is_in
    assert login.failed
    with pytest.raises(LoginRefused):
        login.answer(Scram().final(first))
    assert not login.is_in


@pytest.mark.parametrize(
    "token",
    [
        *(
            b"",
            b"n",
            b"n,,",
            b"p=tls-unique,,n=nrtctl,r=x",
            b"n,,n=nrtctl",
            b"n,,r=x",
            b"\xff" * 40,
        ),
        *(b"n,,n=\xff,r=x", b"n,,n=nrtctl,r=" + b"x" * 2000, b"\0nrtctl\0wrong", b",,,,,,,"),
    ],
)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_noise_is_refused(login: Login, mechanism: str, token: bytes) -> None:
    login.choose(mechanism, 1)
    with pytest.raises(LoginRefused):
        login.answer(token)
    assert not login.is_in


@pytest.mark.parametrize("token", [b"", b"c=biws", b"c=biws,r=,p=", b"c=biws,r=x,p=!", b"\xff,="])
def test_noise_instead_of_the_proof_is_refused(login: Login, token: bytes) -> None:
    login.choose("SCRAM-SHA-256", 1)
    login.answer(b"n,,n=nrtctl,r=abc")
    with pytest.raises(LoginRefused):
        login.answer(token)
    assert not login.is_in


@pytest.mark.parametrize(
    ("token", "is_in"),
    [
        (f"\0nrtctl\0{PASSWORD}", True),
        (f"nrtctl\0nrtctl\0{PASSWORD}", True),
        (f"other\0nrtctl\0{PASSWORD}", False),
        (f"\0other\0{PASSWORD}", False),
        ("\0nrtctl\0", False),
        (f"\0nrtctl\0{PASSWORD}x", False),
    ],
)
def test_plain(login: Login, token: str, is_in: bool) -> None:
    login.choose("PLAIN", 1)
    try:
        assert login.answer(token.encode()) == b""
    except LoginRefused:
        assert not is_in
    assert login.is_in == is_in


def test_only_the_login_itself_is_served_before_it(credentials: Credentials, login: Login) -> None:
    assert {api for api in Api if login.serves(api)} == {Api.API_VERSIONS, Api.SASL_HANDSHAKE}
    assert not login.choose("GSSAPI", 1)
    assert login.failed
    begun = Login(credentials, is_in=False)
    begun.choose("PLAIN", 1)
    assert {api for api in Api if begun.serves(api)} == {Api.SASL_AUTHENTICATE}


def test_without_a_password_nothing_is_asked() -> None:
    login = Login(None, is_in=True)
    assert all(login.serves(api) for api in Api)
    assert not login.is_asked
    assert not login.choose("PLAIN", 1)


@pytest.mark.parametrize(
    ("family", "host", "as_client"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1"),
    ],
)
def test_whose_a_connection_is(family: int, host: str, as_client: str) -> None:
    """The last is a Java client's: an IPv6 socket that speaks to an IPv4 address."""
    known = Peers()
    assert known.user == os.geteuid()
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        port = server.getsockname()[1]
        client = socket.create_connection((as_client, port))
        accepted, peer = server.accept()
        with accepted:
            own = accepted.getsockname()
            assert known.user_of(peer, own) == os.geteuid()
            assert known.is_own(peer, own)
            assert known.user_of((peer[0], peer[1] ^ 1), own) is None
            client.close()
            # The kernel keeps the closed end for a while, and names user 0 for it.
            assert known.user_of(peer, own) is None
            assert not known.is_own(peer, own)
    known.close()
    assert known.user_of(peer, own) is None


def test_a_connection_from_elsewhere_is_nobodys() -> None:
    known = Peers()
    assert known.user_of(("192.0.2.1", 4444), ("192.0.2.2", 9092)) is None
    known.close()


def test_nobody_is_known_where_users_share_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_overflow_user", os.geteuid)
    assert Peers().user is None


def test_nobody_is_known_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    known = Peers()
    assert known.user is None
    assert not known.is_own(("127.0.0.1", 1), ("127.0.0.1", 2))
