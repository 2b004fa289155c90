"""Schemas that files have, for messages without a registry. Called by `opening` and by
`producer.sources.encoded`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nrtctl.errors import ConfigError
from nrtctl.kafka.formats import avro
from nrtctl.pipeline.message_format import MessageFormat

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from nrtctl.kafka.formats.decoder import ReadValue, Wanted
    from nrtctl.kafka.formats.protobuf import Schema


def read_value(kind: MessageFormat, file: Path, message: str | None) -> ReadValue:
    """What reads values of the schema of pipeline.schema_file.

    Args:
        message: of a Protobuf schema; None: the only one.

    Raises:
        ConfigError: it is not there, or no schema.
    """
    try:
        if kind == "protobuf":
            from nrtctl.kafka.formats import protobuf

            return protobuf.reader(protobuf_message(file, message))
        return avro.values(file.read_text())
    except (OSError, UnicodeDecodeError, avro.CannotRead) as error:
        raise ConfigError(f"pipeline.schema_file: {file}: {error}") from error


def wanted(kind: MessageFormat, file: Path, message: str | None) -> Wanted:
    """The schema of pipeline.reader_schema. Args and raises: as `read_value`."""
    try:
        if kind == "protobuf":
            return protobuf_message(file, message)
        return avro.parsed(file.read_text())
    except (OSError, UnicodeDecodeError, avro.CannotRead) as error:
        raise ConfigError(f"pipeline.reader_schema: {file}: {error}") from error


def protobuf_message(file: Path, message: str | None) -> Descriptor:
    """Raises OSError, UnicodeDecodeError, CannotRead."""
    return protobuf_schema(file).message(message)


def protobuf_schema(file: Path) -> Schema:
    """Of a .proto file, or of a FileDescriptorSet. Raises as `protobuf_message`."""
    from nrtctl.kafka.formats.protobuf import Schema

    if file.suffix != ".proto":
        return Schema.of_set(file.read_bytes())

    def imported(name: str) -> str | None:
        """From the file's directory, or from one of those that it is in."""
        for directory in file.absolute().parents:
            found = directory / name
            if found.is_file():
                return found.read_text()
        return None

    return Schema(file.read_text(), imported)
