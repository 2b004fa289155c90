"""Generated events: the reference ones, or others that are made of a pipeline's own fields.

Called by `produce`, and by `up`, which says what to do next.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from nrtctl.clock import Clock
from nrtctl.errors import ConfigError
from nrtctl.pipeline.fields import FieldSpec, Path
from nrtctl.pipeline.fields import Source as Place
from nrtctl.producer.sources import Extra, Record, Source, Unsendable
from nrtctl.producer.sources.made_values import Make, NotMade, maker
from nrtctl.producer.sources.reference_events import DEFAULT_USERS, KEYS, ReferenceEvents

if TYPE_CHECKING:
    from nrtctl.pipeline import Pipeline

_HINT = "`nrtctl produce --input FILE` sends events of your own"


def takes_reference_events(pipeline: Pipeline) -> bool:
    """Whether reference events have a value for each field that needs one."""
    needed, known = 0, 0
    for name, spec in pipeline.fields.items():
        path = spec.source(name).path
        there = len(path) == 1 and path[0] in KEYS
        known += there
        needed += not there and not spec.options(name).optional and not _nullable(spec)
    return _one_row(pipeline) and known > 0 and not needed


def _one_row(pipeline: Pipeline) -> bool:
    """Whether a message that is an object may be one row."""
    return pipeline.rows is None or pipeline.rows.of_one


def generated(
    pipeline: Pipeline,
    seed: int,
    *,
    clock: Clock,
    users: int = DEFAULT_USERS,
    start_ms: int | None = None,
    interval_ms: float = 1.0,
) -> Source:
    """An endless source of events that the pipeline's fields can be read from.

    Args:
        All but `pipeline`: as of `ReferenceEvents`.

    Raises:
        ConfigError: a field has a place or type that no value is made for.
    """
    make = ReferenceEvents if takes_reference_events(pipeline) else partial(OwnEvents, pipeline)
    return make(seed, clock=clock, users=users, start_ms=start_ms, interval_ms=interval_ms)


class OwnEvents:
    """An endless source of events with a value for each field of a pipeline, as JSON.

    Times are those of the event; a message's key is one of as many values as there are users. What
    an event has depends on the seed and its position.

    Args:
        All but `pipeline`: as of `ReferenceEvents`.

    Raises:
        ConfigError: a field has a place or type that no value is made for.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        seed: int,
        *,
        clock: Clock,
        users: int = DEFAULT_USERS,
        start_ms: int | None = None,
        interval_ms: float = 1.0,
    ) -> None:
        if not _one_row(pipeline):
            raise ConfigError(
                "no events can be generated for a pipeline with `rows` in which a single row "
                "is not a message, since only single rows can be made up",
                hint=_HINT,
            )
        self.unsendable = Unsendable()
        self.skipped = 0
        self.exhausted = False
        self.bulk = False
        self._rng = random.Random(f"nrtctl own events {seed}")  # noqa: S311
        self._users = [f"{seed} {number}" for number in range(users)]
        self._clock = clock
        self._start_us = None if start_ms is None else start_ms * 1000
        self._interval_us = interval_ms * 1000
        self._position = 0
        self._places: list[tuple[Path, Make]] = []
        self._headers: list[tuple[str, Make]] = []
        self._key: Make | None = None
        self._keyed_by: Path | None = pipeline.key_path()
        for name, spec in pipeline.fields.items():
            place = spec.source(name)
            if pipeline.rows is not None and not place.record_part:
                place = replace(place, path=pipeline.rows.place(place.path).path)
            self._add(name, place, _made(name, spec))
        _check_places([path for path, _ in self._places])

    def _add(self, name: str, place: Place, make: Make) -> None:
        if place.inside or not all(isinstance(step, str) for step in place.path):
            raise ConfigError(
                f"no events can be generated for the field {name}, which is read from inside "
                "an array, a key or a header",
                hint=_HINT,
            )
        match place.record:
            case "message":
                self._places.append((place.path, make))
            case "key":
                self._key = make
            case "header":
                self._headers.append((place.header, make))

    def size_hint(self) -> tuple[int, int] | None:
        return None

    def close(self) -> None:
        return

    def take(self, limit: int) -> list[Record]:
        """The next `limit` events."""
        return [self._event(now) for now in self._times(limit)]

    def _times(self, limit: int) -> Iterator[int]:
        now = int(self._clock.time() * 1e6)
        for _ in range(limit):
            if self._start_us is not None:
                now = self._start_us + int(self._position * self._interval_us)
            yield now
            self._position += 1

    def _event(self, now: int) -> Record:
        rng = user = self._rng
        if self._keyed_by or self._key:
            user = random.Random(rng.choice(self._users))  # noqa: S311
        event: dict[Any, Any] = {}
        key: bytes | None = None
        for path, make in self._places:
            inside = event
            for step in path[:-1]:
                inside = inside.setdefault(step, {})
            keys = path == self._keyed_by
            inside[path[-1]] = value = make(user if keys else rng, now)
            if keys and value is not None:
                key = _bare(value)
        if self._key is not None:
            key = _bare(self._key(user, now))
        extra: Extra = None
        if self._headers:
            extra = {"headers": [(name, _bare(make(rng, now))) for name, make in self._headers]}
        return key, orjson.dumps(event), extra, None


def _nullable(spec: FieldSpec) -> bool:
    return spec.type.strip().startswith(("Nullable(", "LowCardinality(Nullable("))


def _made(name: str, spec: FieldSpec) -> Make:
    """Raises ConfigError."""
    if {"decimal comma", "thousands"} & set(spec.accept):
        raise ConfigError(
            f"no events can be generated for the field {name}, whose numbers have a decimal "
            "comma or thousands separators",
            hint=_HINT,
        )
    try:
        return maker(name, spec)
    except NotMade as error:
        raise ConfigError(
            f"no events can be generated for the field {name}: its type is {error}", hint=_HINT
        ) from None


def _check_places(paths: list[Path]) -> None:
    """Raises ConfigError: a value would stand where another, or an object, does."""
    for path in paths:
        others = [each for each in paths if each[: len(path)] == path]
        if len(others) > 1:
            place = ".".join(map(str, path))
            raise ConfigError(
                f"no events can be generated for a pipeline that reads {place} in two ways",
                hint=_HINT,
            )


def _bare(value: Any) -> bytes | None:
    """A value that is no JSON: a record's key, or a header."""
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else orjson.dumps(value)
