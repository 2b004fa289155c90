"""Who may send: a bearer token, or a signature over the body as webhooks have it. Pure.

Used by `app`. Comparisons take the same time wherever two texts differ. A body that comes packed is
signed as it is sent, so that nothing is unpacked of a sender who is not known.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from nrtctl.producer.listening.refused import Refused

Scheme = Literal["github", "stripe", "hex", "base64"]
_HEADERS = {"github": "X-Hub-Signature-256", "stripe": "Stripe-Signature"}
_SIZE = sha256().digest_size
_TIME = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Signature:
    """
    Attributes:
        header: that has it; None: the one that the scheme says.
        tolerance: seconds that a time that is signed may lie away from ours.
    """

    scheme: Scheme
    secret: bytes = field(repr=False)
    header: str | None = None
    tolerance: float = 300.0

    @property
    def name(self) -> str:
        return self.header or _HEADERS[self.scheme]

    def check(self, text: str, body: bytes, now: float) -> None:
        """Args: now: seconds since the epoch. Raises Refused: it is not by who has the secret."""
        if self.scheme == "stripe":
            self._check_stripe(text, body, now)
            return
        if not self._is_one_of([_digest(text.removeprefix("sha256="), self.scheme)], body):
            raise _not(f"the signature in {self.name} is not that of this body")

    def _check_stripe(self, text: str, body: bytes, now: float) -> None:
        parts = [part.strip().partition("=")[::2] for part in text.split(",")]
        times = [value for name, value in parts if name == "t"]
        if len(times) != 1 or not _TIME.fullmatch(times[0]):
            raise _not(f"{self.name} has no time: t=SECONDS,v1=SIGNATURE")
        given = [_digest(value, "hex") for name, value in parts if name == "v1"]
        if not self._is_one_of(given, times[0].encode() + b"." + body):
            raise _not(f"the signature in {self.name} is not that of this body")
        if abs(now - int(times[0])) > self.tolerance:
            raise _not(
                f"the time in {self.name} is more than {self.tolerance:g} s from now: check "
                "the clocks, or see listen.signature_tolerance"
            )

    def _is_one_of(self, given: list[bytes], signed: bytes) -> bool:
        wanted = hmac.digest(self.secret, signed, "sha256")
        same = [hmac.compare_digest(each, wanted) for each in given]
        return any(same)


@dataclass(frozen=True, slots=True)
class Login:
    """One of the two is enough where both are set; with neither everybody may send."""

    token: bytes | None = field(default=None, repr=False)
    signature: Signature | None = None

    @property
    def open(self) -> bool:
        return self.token is None and self.signature is None

    def before_body(self, headers: dict[str, list[str]]) -> Signature | None:
        """What is left to be checked, once the body is there. Args: names in lower case.

        Raises:
            Refused: it can be said already that it is nobody who may.
        """
        if self.open:
            return None
        signed = self.signature is not None and self.signature.name.lower() in headers
        if self.token is not None and ("authorization" in headers or not signed):
            self._check_token(headers.get("authorization", []))
            return None
        if not signed and self.signature is not None:
            raise _not(f"there is no signature: the header {self.signature.name} is missing")
        return self.signature

    def _check_token(self, given: list[str]) -> None:
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        known = sha256(self.token or b"").digest()
        same = hmac.compare_digest(sha256(token.strip().encode("latin-1")).digest(), known)
        if scheme.lower() != "bearer":
            raise _not("there is no token: send it as Authorization: Bearer TOKEN")
        if not same:
            raise _not("the token is not the one that is expected")


def signature_text(headers: dict[str, list[str]], signature: Signature) -> str:
    """The one that the request has. Raises Refused: it has several."""
    found = headers.get(signature.name.lower(), [])
    if len(found) != 1:
        raise _not(f"the header {signature.name} must be given exactly once")
    return found[0].strip()


def _digest(text: str, scheme: str) -> bytes:
    """Empty: it is none."""
    return next(_read(text, scheme), b"")


def _read(text: str, scheme: str) -> Iterator[bytes]:
    try:
        if scheme == "base64":
            found = base64.b64decode(text, validate=True)
        else:
            found = binascii.unhexlify(text)
    except ValueError:
        return
    if len(found) == _SIZE:
        yield found


def _not(why: str) -> Refused:
    return Refused(401, why, headers={"www-authenticate": 'Bearer realm="nrtctl listen"'})
