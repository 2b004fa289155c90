"""The protocol's error codes, and the exception that carries one to a reply."""

from __future__ import annotations

from kio.schema.errors import ErrorCode

__all__ = ["ErrorCode", "Refused"]


class Refused(Exception):
    """A request, or its part for one partition, is refused with a Kafka error code."""

    def __init__(self, code: ErrorCode, message: str | None = None) -> None:
        super().__init__(message or code.name)
        self.code = code
        self.message = message
