"""The users that clients make: what is kept, and what of a journal that is damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from nrtctl.local.broker.login import Credentials
from nrtctl.local.broker.users import Mechanism, ScramKeys, Users

SALT = b"0123456789abcdef"
KEYS = ScramKeys.of_password(b"geheim", SALT, 4096, Mechanism.SCRAM_SHA_512)


def opened(directory: Path) -> Users:
    return Users(directory / "users.journal", always_sync=False)


def test_what_was_changed_is_there_at_the_next_start(tmp_path: Path) -> None:
    users = opened(tmp_path)
    users.set("ada", Mechanism.SCRAM_SHA_512, KEYS)
    users.set("bob", Mechanism.SCRAM_SHA_512, KEYS)
    users.remove("bob", Mechanism.SCRAM_SHA_512)
    users.close()
    for _ in range(2):
        again = opened(tmp_path)
        assert again.names == ("ada",)
        assert again.of("ada") == {Mechanism.SCRAM_SHA_512: KEYS}
        assert again.of("bob") == {}
        again.close()
    journal = tmp_path / "users.journal"
    assert journal.stat().st_mode & 0o777 == 0o600
    assert b"geheim" not in journal.read_bytes()


def test_a_torn_end_takes_nothing_else_with_it(tmp_path: Path) -> None:
    users = opened(tmp_path)
    users.set("ada", Mechanism.SCRAM_SHA_512, KEYS)
    users.set("bob", Mechanism.SCRAM_SHA_512, KEYS)
    users.close()
    journal = tmp_path / "users.journal"
    journal.write_bytes(journal.read_bytes()[:-10])
    again = opened(tmp_path)
    assert again.names == ("ada",)
    again.close()


def test_the_keys_are_those_of_rfc_7677() -> None:
    """Its example: user "user", password "pencil"."""
    salt = bytes.fromhex("5b6d99689d1234565b6d99689d123456")
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", salt, 4096)
    mechanism = Mechanism.SCRAM_SHA_256
    assert ScramKeys.of_salted(salted, salt, 4096, mechanism) == ScramKeys.of_password(
        b"pencil", salt, 4096, mechanism
    )


@pytest.mark.parametrize("mechanism", Mechanism)
def test_who_is_not_known_has_one_salt_too(mechanism: Mechanism) -> None:
    credentials = Credentials("x")
    first, second = (credentials.keys("nobody", mechanism) for _ in range(2))
    assert first.salt == second.salt != credentials.keys("somebody", mechanism).salt
    assert len(first.salt) == len(credentials.own_keys[mechanism].salt)
    assert first.iterations == credentials.own_keys[mechanism].iterations
