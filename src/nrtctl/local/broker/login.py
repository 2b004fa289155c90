"""Who may use the broker: SASL PLAIN and SCRAM-SHA-256 with the stack's password. No I/O.

One `Login` a connection. `connection` asks it what may be requested, `handlers.sasl` moves it on.
SCRAM (RFC 5802, RFC 7677) proves to the client as well that the broker knows the password: a
client that uses it never gives its password to whoever else listens at the address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from nrtctl.local.broker.wire.apis import Api

USER: Final = "nrtctl"
MECHANISMS: Final = ("SCRAM-SHA-256", "PLAIN")
_ITERATIONS: Final = 4096
_LONGEST: Final = 1_000
_REFUSED: Final = "the user or the password is wrong"


class LoginRefused(Exception):
    """The words go to the client."""


class Credentials:
    """One user. The password itself is not kept."""

    def __init__(self, password: str) -> None:
        self._plain = _digest(password.encode())
        self.salt = secrets.token_bytes(16)
        self.iterations = _ITERATIONS
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self.salt, _ITERATIONS)
        self.stored_key = _digest(_hmac(salted, b"Client Key"))
        self.server_key = _hmac(salted, b"Server Key")

    def has(self, user: str, password: bytes) -> bool:
        fits = hmac.compare_digest(self._plain, _digest(password))
        return fits and user == USER


class _Plain:
    """RFC 4616: [authorisation id] NUL user NUL password."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self.is_done = False

    def step(self, token: bytes) -> bytes:
        parts = token.split(b"\0")
        if len(parts) != 3:
            raise LoginRefused("not a PLAIN login: three parts are wanted")
        on_behalf, user, password = parts
        if on_behalf not in (b"", user) or not self._credentials.has(user.decode(), password):
            raise LoginRefused(_REFUSED)
        self.is_done = True
        return b""


class _Scram:
    """RFC 5802: two messages each way."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._said = b""
        self._nonce = b""
        self._binding = b""
        self._user = ""
        self.is_done = False

    def step(self, token: bytes) -> bytes:
        return self._final(token) if self._said else self._first(token)

    def _first(self, token: bytes) -> bytes:
        flag, on_behalf, bare = token.split(b",", 2)
        if flag not in (b"n", b"y"):
            raise LoginRefused("channel binding is not served")
        named = _attributes(bare)
        self._user = named["n"].decode().replace("=2C", ",").replace("=3D", "=")
        self._nonce = named["r"] + secrets.token_urlsafe(18).encode()
        self._binding = base64.b64encode(b"%b,%b," % (flag, on_behalf))
        answer = b"r=%b,s=%b,i=%d" % (
            self._nonce,
            base64.b64encode(self._credentials.salt),
            self._credentials.iterations,
        )
        self._said = bare + b"," + answer
        return answer

    def _final(self, token: bytes) -> bytes:
        without_proof = token.rpartition(b",p=")[0]
        named = _attributes(token)
        # librdkafka before 2.10 puts its own part of the nonce before the whole once more.
        if named["c"] != self._binding or not named["r"].endswith(self._nonce):
            raise LoginRefused("not the answer to this login")
        proof = base64.b64decode(named["p"], validate=True)
        message = self._said + b"," + without_proof
        signature = _hmac(self._credentials.stored_key, message)
        if len(proof) != len(signature):
            raise LoginRefused(_REFUSED)
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        fits = hmac.compare_digest(_digest(client_key), self._credentials.stored_key)
        if not fits or self._user != USER:
            raise LoginRefused(_REFUSED)
        self.is_done = True
        return b"v=" + base64.b64encode(_hmac(self._credentials.server_key, message))


class Login:
    """How far one connection has come.

    `is_in`: everything is served. `is_raw`: the next frames are bare tokens (SaslHandshake v0).
    `failed`: why the connection ends once it has been told so; else empty.
    """

    __slots__ = ("_credentials", "_exchange", "failed", "is_in", "is_raw")

    def __init__(self, credentials: Credentials | None, *, is_in: bool) -> None:
        self._credentials = credentials
        self._exchange: _Plain | _Scram | None = None
        self.is_in = is_in
        self.is_raw = False
        self.failed = ""

    @property
    def is_asked(self) -> bool:
        """Whether there is a password at all."""
        return self._credentials is not None

    @property
    def is_under_way(self) -> bool:
        return self._exchange is not None

    def serves(self, api: Api) -> bool:
        """Whether the request is served, as far as the client has come."""
        if self.is_in:
            return True
        if self._exchange is not None:
            return api is Api.SASL_AUTHENTICATE
        return api in (Api.API_VERSIONS, Api.SASL_HANDSHAKE)

    def choose(self, mechanism: str, version: int) -> bool:
        """Begin with a mechanism; False: it is not served, and the connection is to end."""
        if self._credentials is None or mechanism not in MECHANISMS:
            self.failed = f"{mechanism[:40]!r} is not served"
            return False
        self._exchange = (_Plain if mechanism == "PLAIN" else _Scram)(self._credentials)
        self.is_raw = version == 0
        return True

    def answer(self, token: bytes) -> bytes:
        """What the client is told next.

        Raises:
            LoginRefused: the connection is to end.
        """
        exchange = self._exchange
        try:
            if exchange is None or len(token) > _LONGEST:
                raise LoginRefused(_REFUSED)
            answer = exchange.step(token)
        except (LoginRefused, ValueError) as error:
            self.failed = str(error) if isinstance(error, LoginRefused) else _REFUSED
            self.is_in = False
            self._exchange = None
            raise LoginRefused(self.failed) from error
        if exchange.is_done:
            self._exchange = None
            self.is_in, self.is_raw = True, False
        return answer


def _attributes(text: bytes) -> dict[str, bytes]:
    """Raises LoginRefused where one that is needed is missing."""
    found = _Needed()
    for part in text.split(b","):
        name, equals, value = part.partition(b"=")
        if not equals:
            raise LoginRefused("not a SCRAM login")
        found[name.decode()] = value
    return found


class _Needed(dict[str, bytes]):
    def __missing__(self, name: str) -> bytes:
        raise LoginRefused(f"not a SCRAM login: {name}= is missing")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
