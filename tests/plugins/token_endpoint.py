"""An OAuth 2 token endpoint on loopback, with the key set that its tokens are signed with.

It gives tokens for client credentials (RFC 6749, 4.4), signed RS256 (RFC 7515, 7518), and its
public key as a JSON Web Key Set (RFC 7517).
"""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

CLIENT, SCOPE, AUDIENCE = "pipeline", "kafka", "kafka"


class TokenEndpoint:
    """Knows one client, CLIENT with `secret`, and one scope. Close it."""

    def __init__(self, secret: str) -> None:
        self._key = generate_private_key(65537, 2048)
        self.secret = secret
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, endpoint.key_set())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer(*endpoint.grant(self.headers.get("Authorization", ""), body))

            def _answer(self, status: int, answer: dict[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        base = f"http://127.0.0.1:{self._server.server_port}"
        self.token_url, self.keys_url = f"{base}/token", f"{base}/keys"

    def grant(self, authorization: str, body: str) -> tuple[int, dict[str, Any]]:
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        client, _, secret = given.partition(":")
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        if (unquote(client), unquote(secret)) != (CLIENT, self.secret):
            return 401, {"error": "invalid_client"}
        if asked.get("grant_type") != "client_credentials" or asked.get("scope") != SCOPE:
            return 400, {"error": "invalid_scope"}
        return 200, {"access_token": self._token(), "token_type": "Bearer", "expires_in": 600}

    def key_set(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        return {
            "keys": [
                {
                    **{"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256"},
                    "n": _base64(numbers.n.to_bytes(256, "big")),
                    "e": _base64(numbers.e.to_bytes(3, "big")),
                }
            ]
        }

    def _token(self) -> str:
        now = int(time.time())
        claims = {"sub": CLIENT, "aud": AUDIENCE, "scope": SCOPE, "iat": now, "exp": now + 600}
        head = {"alg": "RS256", "kid": "one", "typ": "JWT"}
        text = f"{_base64(json.dumps(head).encode())}.{_base64(json.dumps(claims).encode())}"
        return f"{text}.{_base64(self._key.sign(text.encode(), PKCS1v15(), SHA256()))}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
