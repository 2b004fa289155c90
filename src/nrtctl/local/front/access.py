"""Who may ask: the user and password of a request. Used by `app`."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from nrtctl.local.serving import basic

USER = "default"


def credentials(headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[bytes, bytes] | None:
    """User and password as ClickHouse reads them: headers, basic authorisation, or parameters.

    None where they cannot be read. The texts of headers are bytes, whatever they encode.
    """
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        user, key = headers.get("x-clickhouse-user", USER), headers.get("x-clickhouse-key", "")
        return user.encode("latin-1"), key.encode("latin-1")
    authorization = headers.get("authorization", "")
    if authorization.strip().partition(" ")[0].lower() == "basic":
        return basic(authorization)
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
