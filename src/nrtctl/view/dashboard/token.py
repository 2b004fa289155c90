"""The word without which no page gets to see data. Used by `app` and `serve`.

Whoever reaches the port sees numbers; messages, dead letters whole and what SQL answers are for who
has the address that the command prints. It is another one each time the dashboard is started.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

SCHEME = b"bearer "


class Token:
    def __init__(self) -> None:
        self.text = secrets.token_urlsafe(24)
        self._known = sha256(self.text.encode()).digest()

    def is_in(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether a request carries it: `Authorization: Bearer TOKEN`, once. Takes as long
        whatever is given."""
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1 or given[0][: len(SCHEME)].lower() != SCHEME:
            return False
        found = sha256(given[0][len(SCHEME) :].strip()).digest()
        return hmac.compare_digest(found, self._known)
