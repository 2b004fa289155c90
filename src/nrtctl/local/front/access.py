"""Who may ask: the user and password of a request, and the page that sends it. Used by `app`."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

USER = "default"


def password_of(path: Path) -> str:
    """The password kept at `path` (mode 0600); made there if there is none."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8").strip()


def credentials(headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[bytes, bytes] | None:
    """User and password as ClickHouse reads them: headers, basic authorisation, or parameters.

    None where they cannot be read. The texts of headers are bytes, whatever they encode.
    """
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        user, key = headers.get("x-clickhouse-user", USER), headers.get("x-clickhouse-key", "")
        return user.encode("latin-1"), key.encode("latin-1")
    scheme, _, encoded = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(encoded.strip().encode("latin-1"), validate=True)
        except binascii.Error:
            return None
        user_bytes, _, password = given.partition(b":")
        return user_bytes, password
    user, key = query.get("user", USER), query.get("password", "")
    return user.encode(errors="replace"), key.encode(errors="replace")


def allowed(given: tuple[bytes, bytes], password: str) -> bool:
    """Compared in constant time. A password beyond ASCII may come in UTF-8 or in Latin-1."""
    user, key = given
    same_user = hmac.compare_digest(user, USER.encode())
    same_key = hmac.compare_digest(key, password.encode())
    other_key = hmac.compare_digest(key, password.encode("latin-1", errors="ignore"))
    return same_user and (same_key or (other_key and _in_latin_1(password)))


def _in_latin_1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def from_another_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends this for a page that did not come from here."""
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")
