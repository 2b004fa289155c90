"""Schemas that files have, for messages without a registry. Called by `opening`, by
`producer.sources.encoded` and by `stack.bootstrap`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nrtctl.config.named_files import named_text, read_named
from nrtctl.errors import ConfigError
from nrtctl.kafka.formats import avro
from nrtctl.pipeline.message_format import CannotRead, MessageFormat

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from nrtctl.kafka.formats.decoder import ReadValue, Wanted
    from nrtctl.kafka.formats.protobuf import Schema
    from nrtctl.pipeline import Pipeline


@contextmanager
def reading(key: str, file: Path) -> Iterator[None]:
    """Args: key: that names the file.

    Raises:
        ConfigError: what is done within finds that the file cannot be read, or that its schema
            cannot be used.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{key}: {file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{key}: {file}: is not UTF-8 text") from error
    except CannotRead as error:
        raise ConfigError(f"{key}: {file}: its schema cannot be used: {error}") from error


def check(pipeline: Pipeline) -> None:
    """Raises ConfigError: a file that the pipeline names is not there, or has no schema."""
    if pipeline.schema_file is not None:
        read_value(pipeline.format, pipeline.schema_file, pipeline.schema_message)
    if pipeline.reader_schema is not None:
        wanted(pipeline.format, pipeline.reader_schema, pipeline.schema_message)


def read_value(kind: MessageFormat, file: Path, message: str | None) -> ReadValue:
    """What reads values of the schema of pipeline.schema_file.

    Args:
        message: of a Protobuf schema; None: the only one.

    Raises:
        ConfigError: it is not there, or no schema.
    """
    with reading("pipeline.schema_file", file):
        if kind == "protobuf":
            from nrtctl.kafka.formats import protobuf

            return protobuf.reader(protobuf_message(file, message))
        return avro.values(named_text(file))


def wanted(kind: MessageFormat, file: Path, message: str | None) -> Wanted:
    """The schema of pipeline.reader_schema. Args and raises: as `read_value`."""
    with reading("pipeline.reader_schema", file):
        if kind == "protobuf":
            return protobuf_message(file, message)
        return avro.parsed(named_text(file))


def protobuf_message(file: Path, message: str | None) -> Descriptor:
    """Raises OSError, UnicodeDecodeError, CannotRead."""
    return protobuf_schema(file).message(message)


def protobuf_schema(file: Path) -> Schema:
    """Of a .proto file, or of a FileDescriptorSet. Raises as `protobuf_message`."""
    from nrtctl.kafka.formats.protobuf import Schema

    if file.suffix != ".proto":
        return Schema.of_set(read_named(file))

    def imported(name: str) -> str | None:
        """From the file's directory, or from one of those that it is in."""
        for directory in file.absolute().parents:
            found = directory / name
            if found.is_file():
                return named_text(found)
        return None

    return Schema(named_text(file), imported)
