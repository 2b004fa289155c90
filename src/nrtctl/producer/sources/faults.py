"""Late, duplicated and bad messages mixed into any source. Called by `produce`.

Seeded: the same source, seed and shares give the same messages, however many are taken at a time.
"""

from __future__ import annotations

import heapq
import random
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from nrtctl.pipeline.fields import Path
from nrtctl.producer.sources import Record, Source, records_of
from nrtctl.producer.sources.around import Around
from nrtctl.producer.sources.marks import DUPLICATE, FOREIGN, INVALID, LATE

EVENT_TIME = re.compile(rb'"event_timestamp": ?([0-9]{13})')
MIN_LATE_MS, MAX_LATE_MS = 60_000, 6 * 3_600_000
MAX_DISTANCE = 50
"""A duplicate follows within this many messages."""
NESTING = 2000
KINDS = tuple(INVALID)


class Faulty(Around):
    """A source with faults. Shares are in percent of the messages of `source`; a message has one
    fault at most, and a bad one takes the place (and keeps the key) of a good one.

    Args:
        late: event time a minute to six hours in the past. Needs reference events.
        duplicate: sent once more, a few messages later.
        invalid: replaced by a bad message; the kinds of `marks.INVALID` take turns.
        fields: key of a message, or path of keys = ClickHouse type, to know what would be wrong.
    """

    def __init__(
        self,
        source: Source,
        *,
        seed: int,
        late: float = 0.0,
        duplicate: float = 0.0,
        invalid: float = 0.0,
        fields: Mapping[str, str] | Mapping[Path, str],
    ) -> None:
        super().__init__(source)
        self._rng = random.Random(f"nrtctl faults {seed}")  # noqa: S311
        self._invalid_below = invalid / 100
        self._late_below = self._invalid_below + late / 100
        self._duplicate_below = self._late_below + duplicate / 100
        self._fields = fields
        self._bad = 0
        self._position = 0
        self._fresh: deque[Record] = deque()
        self._repeats: list[tuple[int, int, Record]] = []

    @property
    def exhausted(self) -> bool:
        return self._source.exhausted and not self._fresh and not self._repeats

    def take(self, limit: int) -> list[Record]:
        records: list[Record] = []
        while len(records) < limit:
            record = self._due() or self._next(limit - len(records))
            if record is None:
                break
            records.append(record)
            self._position += 1
        return records

    def _due(self) -> Record | None:
        """A duplicate whose turn it is; at the end of the input, any."""
        repeats = self._repeats
        if repeats and (repeats[0][0] <= self._position or self._at_end()):
            return heapq.heappop(repeats)[2]
        return None

    def _at_end(self) -> bool:
        return not self._fresh and self._source.exhausted

    def _next(self, want: int) -> Record | None:
        if not self._fresh:
            self._fresh.extend(records_of(self._source.take(want)))
            if not self._fresh:
                return self._due()
        record = self._fresh.popleft()
        draw = self._rng.random()
        if draw >= self._duplicate_below:
            return record
        if draw < self._invalid_below:
            return self._spoil(record)
        if draw < self._late_below:
            return self._delay(record)
        self._repeat(record)
        return record

    def _repeat(self, record: Record) -> None:
        key, value, extra, mark = record
        again = (key, value, extra, FOREIGN if mark == FOREIGN else DUPLICATE)
        due = self._position + self._rng.randint(1, MAX_DISTANCE)
        heapq.heappush(self._repeats, (due, self._position, again))

    def _delay(self, record: Record) -> Record:
        key, value, extra, _ = record
        ratio: float = MAX_LATE_MS / MIN_LATE_MS
        age = int(MIN_LATE_MS * ratio ** self._rng.random())

        def earlier(match: re.Match[bytes]) -> bytes:
            return b'"event_timestamp": %d' % (int(match[1]) - age)

        return key, EVENT_TIME.sub(earlier, value or b"", count=1), extra, LATE

    def _spoil(self, record: Record) -> Record:
        key, value, extra, _ = record
        kind = KINDS[self._bad % len(KINDS)]
        self._bad += 1
        return key, spoiled(kind, value or b"", self._fields, self._rng), extra, kind


def spoiled(
    kind: str, value: bytes, fields: Mapping[str, str] | Mapping[Path, str], rng: random.Random
) -> bytes | None:
    """A bad message of `kind`, as like `value` as may be."""
    plain: dict[str, Callable[[], bytes | None]] = {
        "not_json": lambda: b"this is not JSON",
        "truncated": lambda: value[: len(value) // 2] or b"{",
        "not_an_object": lambda: b"[1, 2, 3]",
        "invalid_utf8": lambda: b"\xff\xfe" + value,
        "empty": lambda: b"",
        "tombstone": lambda: None,
        "second_object": lambda: value + b" " + value,
        "deep_nesting": lambda: b'{"a":' * NESTING + b"1" + b"}" * NESTING,
    }
    if kind in plain:
        return plain[kind]()
    event = _object(value)
    types = {(at,) if isinstance(at, str) else at: type_ for at, type_ in fields.items()}
    required = sorted(path for path, type_ in types.items() if not type_.startswith("Nullable("))
    typed = [path for path in required if "String" not in types[path]]
    numbers = [path for path in required if "Int" in types[path]]
    if kind == "missing_field" and required:
        *to, key = rng.choice(required)
        _inside(event, to).pop(key, None)
    elif kind == "null_field" and required:
        *to, key = rng.choice(required)
        _inside(event, to)[key] = None
    elif kind == "wrong_type" and typed:
        *to, key = rng.choice(typed)
        _inside(event, to)[key] = "surely wrong"
    elif kind == "huge_number" and numbers:
        *to, key = rng.choice(numbers)
        _inside(event, to)[key] = orjson.Fragment("1" + "0" * 40)
    elif kind == "duplicate_key" and required and event:
        name = rng.choice(sorted(event))
        return orjson.dumps({name: event[name]})[:-1] + b", " + orjson.dumps(event)[1:]
    else:
        return b"no field of this pipeline can be " + kind.encode()
    return orjson.dumps(event)


def _inside(event: dict[Any, Any], to: Sequence[str | int]) -> dict[Any, Any]:
    """The object at a path, which is made where there is none."""
    for key in to:
        if not isinstance(event.get(key), dict):
            event[key] = {}
        event = event[key]
    return event


def _object(value: bytes) -> dict[str, Any]:
    try:
        found: Any = orjson.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
