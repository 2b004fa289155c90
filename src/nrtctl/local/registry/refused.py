"""An answer that says no, with Confluent's codes. Used by `app`, `schemas` and `store`.

Source: https://github.com/confluentinc/schema-registry, core/…/rest/exceptions/Errors.java.
"""

from __future__ import annotations


class Refused(Exception):
    """Attributes: code: Confluent's; its first three digits are the HTTP status, but for 409."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        return int(str(self.code)[:3])


def no_subject(name: str) -> Refused:
    return Refused(40401, f"Subject '{name}' not found.")


def no_version(number: int) -> Refused:
    return Refused(40402, f"Version {number} not found.")


def no_schema(number: int | None = None) -> Refused:
    return Refused(40403, "Schema not found" if number is None else f"Schema {number} not found")


def invalid(why: str) -> Refused:
    return Refused(42201, f"Invalid schema: {why}")
