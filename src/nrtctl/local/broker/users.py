"""Users that clients make: their SCRAM keys, in memory and in a journal. Passwords are not kept.

Asked by `login`, changed by `handlers.users`; `broker` opens it. The stack's own login is none of
them (see `login`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from nrtctl.local.journal import Entry, Journal

logger = logging.getLogger(__name__)

MAX_USERS: Final = 1_000


class Mechanism(IntEnum):
    """As the protocol numbers them."""

    SCRAM_SHA_256 = 1
    SCRAM_SHA_512 = 2

    @property
    def title(self) -> str:
        """As SASL calls it."""
        return self.name.replace("_", "-")

    @property
    def digest(self) -> str:
        """As `hashlib` calls it."""
        return self.name.removeprefix("SCRAM_").replace("_", "").lower()


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps of a password (RFC 5802, section 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    @classmethod
    def of_salted(
        cls, salted: bytes, salt: bytes, iterations: int, mechanism: Mechanism
    ) -> ScramKeys:
        """Args: salted: the password after PBKDF2."""
        client_key = hmac.digest(salted, b"Client Key", mechanism.digest)
        stored_key = hashlib.new(mechanism.digest, client_key).digest()
        server_key = hmac.digest(salted, b"Server Key", mechanism.digest)
        return cls(salt, iterations, stored_key, server_key)

    @classmethod
    def of_password(
        cls, password: bytes, salt: bytes, iterations: int, mechanism: Mechanism
    ) -> ScramKeys:
        salted = hashlib.pbkdf2_hmac(mechanism.digest, password, salt, iterations)
        return cls.of_salted(salted, salt, iterations, mechanism)


class Users:
    """Raises OSError when the journal cannot be opened, and from every method that changes it."""

    def __init__(self, path: Path, *, always_sync: bool) -> None:
        self._found: dict[str, dict[Mechanism, ScramKeys]] = {}
        self.is_unsynced = False
        self._journal = Journal(path, always_sync=always_sync)
        for entry in self._journal.replay():
            try:
                self._apply(entry)
            except (ValueError, TypeError) as error:
                logger.warning("a journal entry of a user is left out: %s", error)
        self._compact()

    def _apply(self, entry: Entry) -> None:
        match entry:
            case ["user", str(name), int(mechanism), int(iterations), *rest]:
                salt, stored_key, server_key = (base64.b64decode(each) for each in rest)
                keys = ScramKeys(salt, iterations, stored_key, server_key)
                self._found.setdefault(name, {})[Mechanism(mechanism)] = keys
            case ["gone", str(name), int(mechanism)]:
                self._drop(name, Mechanism(mechanism))
            case _:
                raise ValueError("an unknown kind")

    def _drop(self, name: str, mechanism: Mechanism) -> None:
        there = self._found.get(name, {})
        there.pop(mechanism, None)
        if not there:
            self._found.pop(name, None)

    def _compact(self) -> None:
        self._journal.compact(
            _entry(name, mechanism, keys)
            for name, there in self._found.items()
            for mechanism, keys in there.items()
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._found)

    def of(self, name: str) -> Mapping[Mechanism, ScramKeys]:
        """Empty: there is no such user."""
        return self._found.get(name, {})

    def set(self, name: str, mechanism: Mechanism, keys: ScramKeys) -> None:
        self._change(_entry(name, mechanism, keys))

    def remove(self, name: str, mechanism: Mechanism) -> None:
        self._change(["gone", name, mechanism])

    def _change(self, entry: Entry) -> None:
        self._journal.append(entry)
        self._apply(entry)
        self.is_unsynced = True
        if self._journal.should_compact:
            try:
                self._compact()
            except OSError as error:
                logger.warning("the journal of users stays as long: %s", error.strerror)

    def duplicate(self) -> int:
        """A descriptor of the journal that the caller may sync, and closes."""
        return self._journal.duplicate()

    def close(self) -> None:
        self._journal.close()


def _entry(name: str, mechanism: Mechanism, keys: ScramKeys) -> Entry:
    encoded = (base64.b64encode(each).decode() for each in
               (keys.salt, keys.stored_key, keys.server_key))  # fmt: skip
    return ["user", name, int(mechanism), keys.iterations, *encoded]
