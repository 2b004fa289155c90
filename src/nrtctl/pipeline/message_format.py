"""What the values of a topic are. Pure."""

from __future__ import annotations

from typing import Literal

MessageFormat = Literal["json", "avro", "protobuf", "json schema", "text"]

DECODED = "_decoded"
"""The column of the JSON text of a message in another format, beside its bytes, in the tables that
store nothing."""

UNDECODED = b"!"
"""What such a text begins with where there is none, before the reason. No JSON does."""


LINE = "line"
"""The field that has the text of a message of text."""


class CannotRead(ValueError):
    """A schema that is none, or has something that is not read here. Its text says what."""
