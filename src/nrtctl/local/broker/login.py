"""Who may use the broker: SASL PLAIN and SCRAM with its password, SCRAM for `users`. No I/O.

One `Login` a connection. `connection` asks it what may be requested, `handlers.sasl` moves it on.
SCRAM (RFC 5802, RFC 7677) proves to the client as well that the broker knows the password: a
client that uses it never gives its password to whoever else listens at the address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from nrtctl.local.broker.users import Mechanism, ScramKeys, Users
from nrtctl.local.broker.wire.apis import Api

USER: Final = "nrtctl"
_SCRAM: Final = {each.title: each for each in Mechanism}
MECHANISMS: Final = (*_SCRAM, "PLAIN")
_ITERATIONS: Final = 4096
_LONGEST: Final = 1_000
_REFUSED: Final = "the user or the password is wrong"


class LoginRefused(Exception):
    """The words go to the client."""


class Credentials:
    """Who is known: the stack's own user, whose password itself is not kept, and `users`."""

    def __init__(self, password: str, users: Users | None = None) -> None:
        self._plain = _digest(password.encode())
        self._users = users
        self.own_keys: Mapping[Mechanism, ScramKeys] = {
            mechanism: ScramKeys.of_password(
                password.encode(), secrets.token_bytes(16), _ITERATIONS, mechanism
            )
            for mechanism in Mechanism
        }
        self._unknown = secrets.token_bytes(32)

    def has(self, user: str, password: bytes) -> bool:
        fits = hmac.compare_digest(self._plain, _digest(password))
        return fits and user == USER

    def keys(self, user: str, mechanism: Mechanism) -> ScramKeys:
        """Of somebody unknown: keys that no password fits, with the same salt at each attempt, so
        that nobody learns which users there are."""
        if user == USER:
            return self.own_keys[mechanism]
        found = self._users.of(user).get(mechanism) if self._users is not None else None
        if found is not None:
            return found
        salt = hmac.digest(self._unknown, user.encode(), "sha256")[:16]
        nothing = secrets.token_bytes(32)
        return ScramKeys(salt, _ITERATIONS, nothing, nothing)


class _Plain:
    """RFC 4616: [authorisation id] NUL user NUL password."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self.is_done = False

    def step(self, token: bytes) -> bytes:
        parts = token.split(b"\0")
        if len(parts) != 3:
            raise LoginRefused("not a PLAIN login: three parts are expected")
        on_behalf, user, password = parts
        if on_behalf not in (b"", user) or not self._credentials.has(user.decode(), password):
            raise LoginRefused(_REFUSED)
        self.is_done = True
        return b""


class _Scram:
    """RFC 5802: two messages each way."""

    def __init__(self, credentials: Credentials, mechanism: Mechanism) -> None:
        self._credentials = credentials
        self._mechanism = mechanism
        self._keys: ScramKeys | None = None
        self._said = b""
        self._nonce = b""
        self._binding = b""
        self.is_done = False

    def step(self, token: bytes) -> bytes:
        return self._first(token) if self._keys is None else self._final(token, self._keys)

    def _first(self, token: bytes) -> bytes:
        flag, on_behalf, bare = token.split(b",", 2)
        if flag not in (b"n", b"y"):
            raise LoginRefused("channel binding is not served")
        named = _attributes(bare)
        user = named["n"].decode().replace("=2C", ",").replace("=3D", "=")
        self._nonce = named["r"] + secrets.token_urlsafe(18).encode()
        self._binding = base64.b64encode(b"%b,%b," % (flag, on_behalf))
        keys = self._keys = self._credentials.keys(user, self._mechanism)
        salt = base64.b64encode(keys.salt)
        answer = b"r=%b,s=%b,i=%d" % (self._nonce, salt, keys.iterations)
        self._said = bare + b"," + answer
        return answer

    def _final(self, token: bytes, keys: ScramKeys) -> bytes:
        without_proof = token.rpartition(b",p=")[0]
        named = _attributes(token)
        # librdkafka before 2.10 puts its own part of the nonce before the whole once more.
        if named["c"] != self._binding or not named["r"].endswith(self._nonce):
            raise LoginRefused("not the answer to this login")
        proof = base64.b64decode(named["p"], validate=True)
        message = self._said + b"," + without_proof
        digest = self._mechanism.digest
        signature = hmac.digest(keys.stored_key, message, digest)
        if len(proof) != len(signature):
            raise LoginRefused(_REFUSED)
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        if not hmac.compare_digest(hashlib.new(digest, client_key).digest(), keys.stored_key):
            raise LoginRefused(_REFUSED)
        self.is_done = True
        return b"v=" + base64.b64encode(hmac.digest(keys.server_key, message, digest))


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
    def own_keys(self) -> Mapping[Mechanism, ScramKeys]:
        """Of the stack's own user; empty where there is no password."""
        return self._credentials.own_keys if self._credentials is not None else {}

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
        scram = _SCRAM.get(mechanism)
        self._exchange = (
            _Plain(self._credentials) if scram is None else _Scram(self._credentials, scram)
        )
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
