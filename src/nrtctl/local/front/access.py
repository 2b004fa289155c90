"""Who may ask: the user and password of a request, and its Host header. Pure; used by `app`."""

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
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
BOUND_TO_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def password_of(path: Path) -> str:
    """The password kept at `path` (mode 0600); made there if there is none."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text().strip()


def credentials(headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[str, str]:
    """User and password as ClickHouse reads them: headers, basic authorisation, or parameters."""
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", USER), headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    return query.get("user", USER), query.get("password", "")


def allowed(given: tuple[str, str], password: str) -> bool:
    """Compared in constant time."""
    user, key = given
    same_user = hmac.compare_digest(user.encode(), USER.encode())
    same_key = hmac.compare_digest(key.encode(), password.encode())
    return same_user and same_key


def from_another_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends this for a page that did not come from here."""
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def host_allowed(host: str, bound: str) -> bool:
    """Whether a Host header names this server: a page of another site cannot (DNS rebinding).

    Where it is bound to another address than loopback, its names are not known: any is allowed.
    """
    if bound not in BOUND_TO_LOOPBACK:
        return True
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.lower() in LOOPBACK_NAMES
