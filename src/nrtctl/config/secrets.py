"""What a secret, and the texts beside it, may be made of. Called by `model`. Pure.

Nothing here says what the secret is: its errors are printed.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from pydantic import SecretStr, field_validator

from nrtctl.pipeline import Frozen


class WithSecrets(Frozen):
    """A section with passwords or tokens in it."""

    @field_validator("*", mode="before")
    @classmethod
    def _without_line_end(cls, value: Any) -> Any:
        """A user's name or an address may come from a file as well as a password does."""
        if isinstance(value, SecretStr):
            return SecretStr(without_line_end(value.get_secret_value()))
        return without_line_end(value) if isinstance(value, str) else value

    @field_validator("*")
    @classmethod
    def _sound_secret(cls, value: Any) -> Any:
        return sound(value) if isinstance(value, SecretStr) else value


def without_line_end(text: str) -> str:
    """The text without the line end that a file ends with, as one that a Kubernetes secret was made
    from."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def sound(secret: SecretStr) -> SecretStr:
    """The same. Raises ValueError: it has control characters."""
    if any(unicodedata.category(each) in {"Cc", "Cs"} for each in secret.get_secret_value()):
        raise ValueError("must be one line of text, without control characters")
    return secret


def of_header(secret: SecretStr | None) -> SecretStr | None:
    """Raises ValueError: no header of HTTP can hold it."""
    if secret is not None and any(ord(each) > 255 for each in secret.get_secret_value()):
        raise ValueError("must have only characters of Latin-1, since a header of HTTP carries it")
    return secret
