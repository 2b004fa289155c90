"""A source whose messages are sent as Avro: `nrtctl produce` and `Client.produce` ask `in_format`.

A message that the schema does not fit is not sent, and counted as one that could not be read.
"""

from __future__ import annotations

from nrtctl.config.model import Config
from nrtctl.errors import ConfigError
from nrtctl.kafka.formats.avro import CannotRead
from nrtctl.kafka.formats.encoder import DoesNotFit, Encoder, derived
from nrtctl.kafka.formats.registry import Registry
from nrtctl.kafka.formats.wire import prefix
from nrtctl.producer.sources import Record, Source, Unsendable, Values


class Encoded:
    """The messages of `source`, encoded."""

    def __init__(self, source: Source, encoder: Encoder) -> None:
        self._source = source
        self._encoder = encoder
        self._place = 0

    @property
    def unsendable(self) -> Unsendable:
        return self._source.unsendable

    @property
    def skipped(self) -> int:
        return self._source.skipped

    @property
    def exhausted(self) -> bool:
        return self._source.exhausted

    @property
    def bulk(self) -> bool:
        return False

    def size_hint(self) -> tuple[int, int] | None:
        return self._source.size_hint()

    def close(self) -> None:
        self._source.close()

    def take(self, limit: int) -> list[Record]:
        taken = self._source.take(limit)
        found: list[Record] = []
        for key, value, extra, mark in taken.records() if isinstance(taken, Values) else taken:
            self._place += 1
            try:
                sent = value if value is None else self._encoder.encode(value)
            except DoesNotFit as error:
                self.unsendable.add(f"message {self._place}: {error}")
            else:
                found.append((key, sent, extra, mark))
        return found


def in_format(
    source: Source, config: Config, topic: str, schema: str | None = None
) -> tuple[Source, str]:
    """The messages of `source` in the pipeline's format, and what is to be said of its schema.

    Args:
        schema: the JSON text of one that is given; None: the newest of the topic, else one that is
            made for the fields of the pipeline. It is registered where there is a registry.

    Raises:
        ConfigError: messages of the format are not made; there is no schema, or it is none.
        ConnectError: the registry does not answer.
    """
    kind = config.pipeline.format
    if kind == "json":
        return source, ""
    if kind != "avro":
        raise ConfigError(f"JSON and Avro are produced; pipeline.format is {kind!r}")
    try:
        encoder, said = _encoder(config, topic, schema)
    except CannotRead as error:
        raise ConfigError(
            f"the schema of topic {topic!r} cannot be used: {error}",
            hint="give an Avro schema with --schema FILE",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"pipeline.schema_file: {config.pipeline.schema_file}: {error}"
        ) from error
    return Encoded(source, encoder), said


def _encoder(config: Config, topic: str, schema: str | None) -> tuple[Encoder, str]:
    pipeline = config.pipeline
    if pipeline.schema_file is not None:
        return Encoder(pipeline.schema_file.read_text() if schema is None else schema), ""
    registry, subject = Registry(config.schema_registry), f"{topic}-value"
    newest = registry.latest(subject) if schema is None else None
    if newest is not None:
        number, text = newest
        return Encoder(text, prefix(number)), f"schema {number}, the newest of {subject}"
    text = schema or derived(pipeline)
    Encoder(text)
    number = registry.register(subject, "AVRO", text)
    return Encoder(text, prefix(number)), f"schema {number} is registered for {subject}"
