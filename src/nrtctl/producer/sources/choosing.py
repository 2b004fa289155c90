"""Which source sends what is given: files, what a program has, or events that are generated.

The one place that chooses. Called by `nrtctl produce` and by `Client.produce`.

Another source is a class of what it is given, and a case of `source_of`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nrtctl.clock import Clock
from nrtctl.pipeline import Pipeline
from nrtctl.producer.sources import Source
from nrtctl.producer.sources.files import Reading, file_source
from nrtctl.producer.sources.from_program import Given, Item
from nrtctl.producer.sources.own_events import generated
from nrtctl.producer.sources.reference_events import DEFAULT_USERS

EVENTS_PER_SECOND = 1000.0
"""Of generated events, whose times follow it, where no rate is said."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files, directories and patterns, or `-` for stdin.

    `reading`: None: as they show themselves.
    """

    inputs: Sequence[str]
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Generated:
    """Events without an end.

    Attributes:
        seed: the same one makes the same events; None: any.
        users: how many there are.
        start_ms: the time of the first event, ms since the epoch; None: now, of each.
        rate: events a second; None: EVENTS_PER_SECOND.
    """

    seed: int | None = None
    users: int = DEFAULT_USERS
    start_ms: int | None = None
    rate: float | None = None


def source_of(
    messages: Files | Generated | Iterable[Item],
    pipeline: Pipeline,
    *,
    key: str | None,
    clock: Clock,
) -> Source:
    """Args:
        key: the field, or key of the messages, that keys those of a file or a program; None: the
            pipeline's.

    Raises:
        ConfigError: a file cannot be read, or no events can be generated for the pipeline.
    """
    match messages:
        case Files(inputs, reading):
            return file_source(inputs, pipeline, reading, key=key)
        case Generated(seed, users, start_ms, rate):
            return generated(
                pipeline,
                secrets.randbits(32) if seed is None else seed,
                clock=clock,
                users=users,
                start_ms=start_ms,
                interval_ms=1000 / (rate or EVENTS_PER_SECOND),
            )
        case _:
            return Given(messages, key=pipeline.key_path(key), clock=clock)
