"""Whether the messages of a sample are envelopes of rows, by their form. Called by `draft`.

Only what can hardly be meant otherwise is taken for one: an object with one array of objects and
nothing else, or one whose key says so (`Records`, `data`), and arrays. The lines of an order stay
an array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nrtctl.pipeline.infer.seen import ARRAY, OBJECT, Sample, Seen
from nrtctl.pipeline.rows import EACH, ROOT

_ENVELOPES = frozenset({
    "records", "data", "results", "entry", "rows", "events", "batch", "features", "logs",
    "value", "entries", "documents",
})  # fmt: skip
_PAIRS = (frozenset({"key", "value"}), frozenset({"name", "value"}))
"""Keys of the elements of an array that stands for a map."""


@dataclass(frozen=True, slots=True)
class Level:
    """What is around the rows, or their own element.

    Attributes:
        around: the steps of a path to it; empty: it is the element.
        place: what is there, without the array that leads further.
    """

    around: tuple[str, ...]
    place: Seen


@dataclass(frozen=True, slots=True)
class Envelope:
    """Attributes:
    steps: as `rows` of the pipeline says it.
    levels: the rows' own element first, then the message, and what is between them.
    """

    steps: tuple[str, ...]
    levels: tuple[Level, ...]


def envelope_of(sample: Sample) -> Envelope | None:
    """None: each message is a row."""
    if sample.cells:
        return None
    if not sample.root.count:
        found = sample.lists
        if found.count != sample.messages or not _holds_rows(found, found.count):
            return None
        return _deeper((EACH,), found.element or Seen(), [])
    keys = [key for key, seen in sample.root.keys.items() if _holds_rows(seen, sample.root.count)]
    if len(keys) != 1 or sample.others:
        return None
    (key,) = keys
    if len(sample.root.keys) > 1 and key.lower() not in _ENVELOPES:
        return None
    return _through((), sample.root, key, [])


def _through(
    steps: tuple[str, ...], place: Seen, key: str, levels: list[Level], around: tuple[str, ...] = ()
) -> Envelope:
    rest = {name: seen for name, seen in place.keys.items() if name != key}
    levels = [*levels, Level((ROOT, *around), replace(place, keys=rest))]
    inner = place.keys[key].element or Seen()
    return _deeper((*steps, key), inner, levels, (*around, key, EACH))


def _deeper(
    steps: tuple[str, ...], place: Seen, levels: list[Level], around: tuple[str, ...] = (EACH,)
) -> Envelope:
    """The elements are rows, or hold them in turn, if they have next to nothing of their own."""
    arrays = [key for key, seen in place.keys.items() if _holds_rows(seen, place.count)]
    alone = sum(not set(seen.kinds) & {OBJECT, ARRAY} for seen in place.keys.values())
    if len(arrays) == 1 and alone <= 1 and EACH not in steps:
        return _through(steps, place, arrays[0], levels, around)
    return Envelope(steps, (Level((), place), *levels))


def _holds_rows(seen: Seen, wanted: int) -> bool:
    """Whether it is always there, an array of objects, and never empty."""
    if seen.kinds.keys() != {ARRAY} or seen.kinds[ARRAY] != wanted or seen.lengths[0]:
        return False
    inner = seen.element
    if inner is None or inner.nulls or inner.kinds.keys() != {OBJECT}:
        return False
    return inner.keys.keys() not in _PAIRS


def perhaps_rows(key: str, seen: Seen) -> bool:
    """Whether an array of objects looks like rows, although its message is none by its form: by
    its name."""
    inner = seen.element
    if seen.kinds.keys() != {ARRAY} or inner is None or inner.kinds.keys() != {OBJECT}:
        return False
    return key.lower() in _ENVELOPES


def samples(sample: Sample, found: Envelope) -> Iterator[tuple[tuple[str, ...], Sample]]:
    """Each level as if it were that of messages, and the steps to it."""
    for level in found.levels:
        yield level.around, Sample(root=level.place)
