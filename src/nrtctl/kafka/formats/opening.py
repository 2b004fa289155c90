"""What decodes the messages of a pipeline, for everything that makes rows of messages: the
consumer, `verify --repair`, `dlq replay` and `replay`.

A module of its own, so that a pipeline of JSON imports nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nrtctl.clock import Clock
from nrtctl.config.model import Config

if TYPE_CHECKING:
    from nrtctl.kafka.formats.decoder import Decode, ReadText, Wanted
    from nrtctl.kafka.formats.wire import Headers

LONGEST_WAIT = 10.0
"""Seconds between two tries of a registry that is away."""


def waits() -> Callable[[], float]:
    """Seconds to wait before each next try: doubling from 0.2 to `LONGEST_WAIT`."""
    seconds = 0.1

    def following() -> float:
        nonlocal seconds
        seconds = min(LONGEST_WAIT, seconds * 2)
        return seconds

    return following


def text_reader(config: Config) -> ReadText | None:
    """What reads one message; None: its bytes are the JSON text.

    Raises:
        ConfigError: the schema file is not there, or no schema; the registry cannot be asked.
    """
    if not config.pipeline.is_decoded:
        return None
    from nrtctl.kafka.formats import files
    from nrtctl.kafka.formats.decoder import ByFile, ByRegistry, line_of
    from nrtctl.kafka.formats.registry import Registry

    pipeline = config.pipeline
    if pipeline.format == "text":
        return line_of
    if pipeline.format == "protobuf":
        from nrtctl.kafka.formats.protobuf import check_library

        check_library()
    if pipeline.schema_file is not None:
        read = files.read_value(pipeline.format, pipeline.schema_file, pipeline.schema_message)
        return ByFile(read).text
    wanted: Wanted | None = None
    if pipeline.reader_schema is not None:
        wanted = files.wanted(pipeline.format, pipeline.reader_schema, pipeline.schema_message)
    registry = Registry(config.schema_registry)
    return ByRegistry(pipeline.format, registry, now=time.monotonic, wanted=wanted).text


def decoder(config: Config) -> Decode | None:
    """What decodes messages, and raises RegistryAway. None: they are JSON.

    Raises: as `text_reader`.
    """
    text = text_reader(config)
    if text is None:
        return None
    from nrtctl.kafka.formats.decoder import decoding

    pipeline = config.pipeline
    bare = pipeline.format == "protobuf" and pipeline.schema_file is not None
    return decoding(text, empty=bare)


def patient_decoder(
    config: Config, clock: Clock, waiting: Callable[[str, float], None]
) -> Decode | None:
    """As `decoder`, but it waits where the registry is away. Args: waiting: told (reason, seconds)
    before each wait."""
    decode = decoder(config)
    if decode is None:
        return None
    from nrtctl.kafka.formats.wire import RegistryAway

    def patiently(values: Sequence[bytes | None], headers: Sequence[Headers]) -> list[bytes]:
        next_wait = waits()
        while True:
            try:
                return decode(values, headers)
            except RegistryAway as away:
                seconds = next_wait()
                waiting(away.message, seconds)
                clock.sleep(seconds)

    return patiently
