"""What a secret may be made of. Called by `model`. Pure.

Nothing here says what the secret is: its errors are printed.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from pydantic import SecretStr, field_validator

from nrtctl.pipeline import Frozen


class WithSecrets(Frozen):
    """A section with passwords or tokens in it."""

    @field_validator("*")
    @classmethod
    def _sound_secret(cls, value: Any) -> Any:
        return sound(value) if isinstance(value, SecretStr) else value


def sound(secret: SecretStr) -> SecretStr:
    """The secret without the line's end that a file ends with, as one that a Kubernetes secret was
    made from. Raises ValueError: it has control characters."""
    given = secret.get_secret_value()
    text = given.removesuffix("\n").removesuffix("\r") if given.endswith("\n") else given
    if any(unicodedata.category(each) in {"Cc", "Cs"} for each in text):
        raise ValueError("must be one line of text, without control characters")
    return SecretStr(text)


def of_header(secret: SecretStr | None) -> SecretStr | None:
    """Raises ValueError: no header of HTTP can hold it."""
    if secret is not None and any(ord(each) > 255 for each in secret.get_secret_value()):
        raise ValueError("must have only characters of Latin-1, since a header of HTTP carries it")
    return secret
