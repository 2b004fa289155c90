"""One connection to one broker, for a request that librdkafka does not send. Called by `log_dirs`.

Logs in as librdkafka does with the same settings: no login, PLAIN (RFC 4616) or SCRAM (RFC 5802),
with or without TLS. Frames: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import struct
import time

from nrtctl.config.servers import Kafka
from nrtctl.kafka.refusals import NAMES, tls_files
from nrtctl.net import tls

LARGEST_ANSWER = 64 * 2**20
SASL_HANDSHAKE = 17
SASL_AUTHENTICATE = 36
CLIENT_ID = b"nrtctl"
DIGESTS = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_OF_LIBRDKAFKA = ("security.", "sasl.", "ssl.", "enable.ssl.", "https.")


class NotAsked(Exception):
    """The broker was not asked, or has not answered; the words say why."""


class Link:
    """A context. Each method may raise NotAsked.

    Args:
        settings: with the login of the local broker, if it is that (`properties.with_login`).
        timeout: seconds for all that is asked over it.
    """

    def __init__(self, settings: Kafka, host: str, port: int, *, timeout: float) -> None:
        self._settings = settings
        self._host = host
        self._deadline = time.monotonic() + timeout
        self._number = 0
        theirs = [name for name in settings.properties if name.startswith(_OF_LIBRDKAFKA)]
        if theirs:
            raise NotAsked(f"[kafka.properties] sets {theirs[0]}, which only librdkafka reads")
        mechanism = settings.sasl_mechanism or "no mechanism"
        self._logs_in = "SASL" in settings.security_protocol
        if self._logs_in and mechanism not in {"PLAIN", *DIGESTS}:
            raise NotAsked(f"only librdkafka can log in with {mechanism}")
        try:
            self._socket = self._connect(host, port, timeout)
        except OSError as error:
            raise NotAsked(_words(error)) from error

    def _connect(self, host: str, port: int, timeout: float) -> socket.socket:
        if self._settings.security_protocol.endswith("SSL"):
            return tls.connect(host, port, tls_files(self._settings), NAMES, timeout=timeout)
        return socket.create_connection((host, port), timeout)

    def __enter__(self) -> Link:
        try:
            if self._logs_in:
                self._log_in()
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, api: int, version: int, body: bytes) -> bytes:
        """The answer after its header, of a version whose fields have no tags."""
        self._number += 1
        header = struct.pack(">hhih", api, version, self._number, len(CLIENT_ID)) + CLIENT_ID
        try:
            self._socket.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
            size, number = struct.unpack(">ii", self._exactly(8))
            if not 4 <= size <= LARGEST_ANSWER or number != self._number:
                raise NotAsked("its answer is not Kafka's protocol")
            return self._exactly(size - 4)
        except OSError as error:
            raise NotAsked(_words(error)) from error

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
            part = self._socket.recv(min(size - len(data), 1 << 16))
            if not part:
                raise NotAsked("it closed the connection")
            data += part
        return bytes(data)

    def _log_in(self) -> None:
        settings = self._settings
        mechanism = settings.sasl_mechanism or ""
        user = settings.sasl_username or ""
        password = (
            "" if settings.sasl_password is None else settings.sasl_password.get_secret_value()
        )
        answer = self.ask(SASL_HANDSHAKE, 1, _text(mechanism.encode()))
        if answer[:2] != b"\0\0":
            raise NotAsked(f"it does not serve {mechanism}")
        if mechanism == "PLAIN":
            self._token(b"\0" + user.encode() + b"\0" + password.encode())
            return
        scram = _Scram(mechanism, user, password)
        scram.check(self._token(scram.final(self._token(scram.first))))

    def _token(self, token: bytes) -> bytes:
        answer = self.ask(SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        if answer[:2] != b"\0\0":
            raise NotAsked("it refuses the login")
        (length,) = struct.unpack_from(">h", answer, 2)
        at = 4 + max(length, 0)
        (length,) = struct.unpack_from(">i", answer, at)
        return answer[at + 4 : at + 4 + max(length, 0)]


class _Scram:
    """The client's side of RFC 5802, without channel binding."""

    def __init__(self, mechanism: str, user: str, password: str) -> None:
        self._digest = DIGESTS[mechanism]
        self._password = password.encode()
        self._nonce = secrets.token_urlsafe(24).encode()
        name = user.replace("=", "=3D").replace(",", "=2C").encode()
        self._bare = b"n=" + name + b",r=" + self._nonce
        self.first = b"n,," + self._bare
        self._signature = b""

    def final(self, answer: bytes) -> bytes:
        """Raises NotAsked: the answer is none of a server's."""
        named = dict(part.partition(b"=")[::2] for part in answer.split(b","))
        try:
            nonce, salt = named[b"r"], base64.b64decode(named[b"s"])
            iterations = int(named[b"i"])
        except (KeyError, ValueError) as error:
            raise NotAsked("it does not answer the login") from error
        if not nonce.startswith(self._nonce) or not 4096 <= iterations <= 1_000_000:
            raise NotAsked("it does not answer the login")
        salted = hashlib.pbkdf2_hmac(self._digest, self._password, salt, iterations)
        without_proof = b"c=biws,r=" + nonce
        said = b",".join([self._bare, answer, without_proof])
        client = self._hmac(salted, b"Client Key")
        signed = self._hmac(hashlib.new(self._digest, client).digest(), said)
        self._signature = self._hmac(self._hmac(salted, b"Server Key"), said)
        proof = bytes(a ^ b for a, b in zip(client, signed, strict=True))
        return without_proof + b",p=" + base64.b64encode(proof)

    def check(self, answer: bytes) -> None:
        """Raises NotAsked: it does not know the password itself."""
        if not hmac.compare_digest(answer, b"v=" + base64.b64encode(self._signature)):
            raise NotAsked("it does not prove that it knows the password")

    def _hmac(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, self._digest)


def _text(data: bytes) -> bytes:
    return struct.pack(">h", len(data)) + data


def _words(error: OSError) -> str:
    return "it does not answer in time" if isinstance(error, TimeoutError) else str(error)
