"""A source whose messages are sent in another format than JSON, for `produce` and `Client.produce`.

A message that the schema does not fit is not sent, and counted as one that could not be read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nrtctl.config.model import Config
from nrtctl.errors import ConfigError
from nrtctl.kafka.formats.decoder import TYPES, text_of_line
from nrtctl.kafka.formats.encoder import DoesNotFit, Encoder, derived
from nrtctl.kafka.formats.files import protobuf_schema, reading
from nrtctl.kafka.formats.registry import Registered, Registry
from nrtctl.kafka.formats.subjects import avro_name, subject_of, title_of
from nrtctl.kafka.formats.wire import indexes_prefix, prefix
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.message_format import CannotRead
from nrtctl.producer.sources import Record, Source, records_of
from nrtctl.producer.sources.around import Around
from nrtctl.producer.sources.marks import FOREIGN

Encode = Callable[[bytes], bytes]
"""A message as JSON into one that is sent. Raises DoesNotFit."""

_WRITTEN = {
    "avro": "an Avro schema",
    "protobuf": "a .proto file",
    "json schema": "a JSON Schema",
}
ANY_OBJECT = '{"type": "object"}'
"""The JSON Schema that is registered where there is none."""


TRIED = 1_000
"""Generated events of which none fits, after which there is no use in more."""


class Encoded(Around):
    """The messages of `source`, encoded, but for those that are described as they were in Kafka.

    Args:
        generated: they have no end, so what none of them fits ends them.
    """

    def __init__(self, source: Source, encode: Encode, *, generated: bool = False) -> None:
        super().__init__(source)
        self._encode = encode
        self._place = 0
        self._none_fits = generated

    def take(self, limit: int) -> list[Record]:
        taken = self._source.take(limit)
        found: list[Record] = []
        for key, value, extra, mark in records_of(taken):
            self._place += 1
            as_it_was = mark == FOREIGN and extra is not None
            try:
                sent = value if value is None or as_it_was else self._encode(value)
            except DoesNotFit as error:
                self.unsendable.add(f"message {self._place}: {error}")
            else:
                found.append((key, sent, extra, mark))
        self._none_fits = self._none_fits and not found
        if self._none_fits and self._place >= TRIED:
            why = self.unsendable.examples[0].partition(": ")[2]
            raise ConfigError(
                f"generated events do not fit the schema: {why}",
                hint="`nrtctl produce --input FILE` sends events of your own",
            )
        return found


def in_format(
    source: Source,
    config: Config,
    topic: str,
    schema: str | None = None,
    *,
    generated: bool = False,
) -> tuple[Source, str]:
    """The messages of `source` in the pipeline's format, and what is to be said of its schema.

    Args:
        schema: the text of one that is given; None: the newest of the topic, else one that is made
            for the fields of the pipeline. It is registered where there is a registry.
        generated: the messages are events that are made without end.

    Raises:
        ConfigError: there is no schema, or what is there is none.
        ConnectError: the registry does not answer.
    """
    if config.pipeline.format == "json":
        return source, ""
    encode, said = encoder(config, topic, schema)
    return Encoded(source, encode, generated=generated), said


def encoder(config: Config, topic: str, schema: str | None = None) -> tuple[Encode, str]:
    """What encodes a message, and what is to be said of its schema. All else as of `in_format`."""
    try:
        return _encoder(config, topic, schema)
    except CannotRead as error:
        raise ConfigError(
            f"the schema of topic {topic!r} cannot be used: {error}",
            hint=f"give {_WRITTEN[config.pipeline.format]} with --schema FILE",
        ) from error


def _encoder(config: Config, topic: str, given: str | None) -> tuple[Encode, str]:
    pipeline = config.pipeline
    if pipeline.format == "text":
        return text_of_line, ""
    if pipeline.format == "protobuf":
        from nrtctl.kafka.formats.protobuf import check_library

        check_library()
    if (file := pipeline.schema_file) is not None:
        if given is not None:
            return _by_file(pipeline, file, given), ""
        with reading("pipeline.schema_file", file):
            return _by_file(pipeline, file, None), ""
    kind = TYPES[pipeline.format]
    registry, subject = Registry(config.schema_registry), _subject(config, topic, given)
    newest = registry.latest(subject) if given is None else None
    if newest is not None:
        number, schema = newest
        if schema.kind != kind:
            raise CannotRead(f"schema {number} of {subject} is of type {schema.kind}, not {kind}")
        said = f"schema {number}, the newest of {subject}"
    else:
        schema = Registered(kind, given or _derived(pipeline))
        _encoding(pipeline, schema, 0)
        number = registry.register(subject, kind, schema.text)
        said = f"schema {number} is registered for {subject}"
    return _encoding(pipeline, schema, number), said


def _subject(config: Config, topic: str, given: str | None) -> str:
    """Raises CannotRead: the schema that is given, or would be made, has no name."""
    strategy, pipeline = config.schema_registry.subject_name_strategy, config.pipeline
    if strategy == "topic":
        return subject_of(strategy, topic, "")
    text = given or _derived(pipeline)
    if pipeline.format == "json schema":
        name = title_of(text)
    elif pipeline.format == "avro":
        name = avro_name(text)
    else:
        from nrtctl.kafka.formats.protobuf import Schema

        name = Schema(text, lambda _: None).message(pipeline.schema_message).full_name
    return subject_of(strategy, topic, name)


def _derived(pipeline: Pipeline) -> str:
    if pipeline.format == "json schema":
        return ANY_OBJECT
    if pipeline.format == "avro":
        return derived(pipeline)
    from nrtctl.kafka.formats import protobuf_encoder

    return protobuf_encoder.derived(pipeline)


def _encoding(pipeline: Pipeline, schema: Registered, number: int) -> Encode:
    """Args: number: of the schema in the registry."""
    before = prefix(number)
    if pipeline.format == "json schema":
        return before.__add__
    if pipeline.format == "avro":
        return Encoder(schema.text, before).encode
    from nrtctl.kafka.formats.protobuf import Schema
    from nrtctl.kafka.formats.protobuf_encoder import ProtobufEncoder

    messages = Schema(schema.text, schema.references.get)
    message = messages.message(pipeline.schema_message)
    return ProtobufEncoder(message, before + indexes_prefix(messages.indexes(message))).encode


def _by_file(pipeline: Pipeline, file: Path, given: str | None) -> Encode:
    if pipeline.format == "avro":
        return Encoder(file.read_text() if given is None else given).encode
    from nrtctl.kafka.formats.protobuf import Schema
    from nrtctl.kafka.formats.protobuf_encoder import ProtobufEncoder

    messages = protobuf_schema(file) if given is None else Schema(given, lambda _: None)
    return ProtobufEncoder(messages.message(pipeline.schema_message)).encode
