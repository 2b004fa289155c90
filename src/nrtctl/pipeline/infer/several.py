"""Whether the messages of a sample are envelopes of rows, by their form. Called by `draft`.

Only what can hardly be meant otherwise is taken for one: an object with one array of objects and
nothing else, or one whose key says so (`Records`, `data`), also within objects (`hits.hits`), and
arrays. The lines of an order stay an array.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nrtctl.pipeline.infer.seen import ARRAY, LINES, OBJECT, Sample, Seen
from nrtctl.pipeline.infer.tuples import is_moment, of_positions
from nrtctl.pipeline.rows import EACH, ROOT, Keys, keys_of_step

_ENVELOPES = frozenset({
    "records", "data", "results", "entry", "rows", "events", "batch", "features", "logs",
    "value", "entries", "documents", "alerts", "logevents",
})  # fmt: skip
_WITHIN = frozenset({
    "records", "data", "results", "rows", "features", "entries", "documents", "hits", "result",
    "docs", "edges", "nodes",
})  # fmt: skip
"""Of arrays within objects, where the message is no thing with an id of its own."""

_POINTS = frozenset({"datapoints", "data_points"})
"""Of rows whose objects all have the same key of several, in a sample."""

_THING = re.compile(r"_?id|uuid|guid|(?:event|message|request)_?id", re.IGNORECASE)
_PAGES = re.compile(
    r"(?:@odata\.)?next(?:_?(?:page|link|url|cursor|token|page_?token))?|has_?more|page|per_?page"
    r"|page_?(?:size|info|token)|paging|pagination|cursor|total_?(?:items|results|count|pages)",
    re.IGNORECASE,
)
"""Keys of answers that come in pages."""

_DEEPEST = 3
"""Keys from one array, or the message, to the next."""

_PAIRS = (frozenset({"key", "value"}), frozenset({"name", "value"}))
"""Keys of the elements of an array that stands for a map."""

_Way = tuple[Keys, ...]


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
    lines: a message may have several texts, one in each line.
    """

    steps: tuple[Keys, ...]
    levels: tuple[Level, ...]
    lines: bool = False


def envelope_of(sample: Sample) -> Envelope | None:
    """None: each message is a row."""
    if sample.cells:
        return None
    if sample.others.keys() == {LINES}:
        every = Seen.together((sample.root, sample.lines))
        return Envelope((), (Level((), every),), lines=True)
    if not sample.root.count:
        return _of_arrays(sample)
    if sample.others:
        return None
    way = _way_of_messages(sample.root)
    return None if way is None else _through((), sample.root, way, [])


def _of_arrays(sample: Sample) -> Envelope | None:
    """Of messages that are arrays: of rows, or of values, as one row."""
    found = sample.lists
    if found.count != sample.messages or not found.count:
        return None
    if _holds_rows(found, found.count):
        return _deeper((EACH,), found.element or Seen(), [])
    if of_positions(found):
        return Envelope((), (Level((ROOT,), found),))
    return None


def _way_of_messages(root: Seen) -> _Way | None:
    """The keys from the message to the outermost array of rows; None: each message is a row."""
    keys = [key for key, seen in root.keys.items() if _holds_rows(seen, root.count)]
    if len(keys) > 1:
        return None
    if keys:
        (key,) = keys
        said = key.lower() in _ENVELOPES or _of_arrays_in_time(root.keys[key])
        return (key,) if len(root.keys) == 1 or said or _in_pages(root) else None
    ways = [way for way in _ways(root, _DEEPEST) if _surely(root, way)]
    return ways[0] if len(ways) == 1 else None


def _in_pages(root: Seen) -> bool:
    if any(map(_PAGES.fullmatch, root.keys)):
        return True
    kind = root.keys.get("kind")  # as in PodList
    return kind is not None and bool(kind.values) and all(
        str(each).endswith("List") for each in kind.values
    )  # fmt: skip


def _ways(place: Seen, deepest: int) -> Iterator[_Way]:
    """The keys from objects to arrays of rows that are in each of them, through objects."""
    objects = place.kinds[OBJECT]
    for key, seen in place.keys.items():
        if _holds_rows(seen, objects):
            yield (key,)
        elif deepest > 1 and seen.kinds.keys() == {OBJECT} and seen.kinds[OBJECT] == objects:
            yield from ((key, *rest) for rest in _ways(seen, deepest - 1))
    if deepest > 1 and (several := _one_of_several(place)):
        yield several


def _one_of_several(place: Seen) -> _Way | None:
    """Where each object has one of several keys, and below it, under the same key, the rows: as the
    points of OpenTelemetry's metrics."""
    found: dict[str, list[str]] = {}
    for key, seen in place.keys.items():
        if seen.kinds.keys() == {OBJECT}:
            for inner, below in seen.keys.items():
                if _holds_rows(below, seen.kinds[OBJECT]):
                    found.setdefault(inner, []).append(key)
    for inner, keys in found.items():
        filled = sum(place.keys[key].kinds[OBJECT] for key in keys)
        if filled == place.kinds[OBJECT] and len(keys) > 1:
            return (tuple(keys), inner)
        if filled == place.kinds[OBJECT] and inner.lower() in _POINTS:
            return (keys[0], inner)
    return None


def _surely(root: Seen, way: _Way) -> bool:
    """Whether the message is there for what this way leads to."""
    around, alone, place = [*root.keys], len(root.keys) == 1, root
    for step in way[:-1]:
        place = Seen.together(place.keys[key] for key in keys_of_step(step))
        around += place.keys
        alone = alone and len(place.keys) == 1
    if alone:
        return True
    last = str(way[-1])
    said = last.lower() in _WITHIN or _of_arrays_in_time(place.keys[last])
    return said and not any(map(_THING.fullmatch, around))


def _of_arrays_in_time(seen: Seen) -> bool:
    """Whether it is an array of arrays that begin with their time."""
    inner = seen.element
    return inner is not None and inner.kinds.keys() == {ARRAY} and is_moment(inner.positions[0])


def _through(
    steps: tuple[Keys, ...],
    place: Seen,
    way: _Way,
    levels: list[Level],
    around: tuple[str, ...] = (),
) -> Envelope:
    levels = [*levels, Level((ROOT, *around), _without(place, way))]
    further = around + tuple(each for step in way for each in (keys_of_step(step)[0], EACH))
    return _deeper((*steps, *way), _element(place, way), levels, further)


def _without(place: Seen, way: _Way) -> Seen:
    """A place without what the way leads to."""
    rest = dict(place.keys)
    for key in keys_of_step(way[0]):
        inner = _without(rest[key], way[1:]) if len(way) > 1 else None
        if inner is not None and inner.keys:
            rest[key] = inner
        else:
            del rest[key]
    return replace(place, keys=rest)


def _element(place: Seen, way: _Way) -> Seen:
    """The elements that the way leads to, all in one."""
    inner = [place.keys[key] for key in keys_of_step(way[0])]
    if len(way) > 1:
        inner = [_element(each, way[1:]) for each in inner]
    else:
        inner = [each.element or Seen() for each in inner]
    return inner[0] if len(inner) == 1 else Seen.together(inner)


def _deeper(
    steps: tuple[Keys, ...],
    place: Seen,
    levels: list[Level],
    around: tuple[str, ...] = (EACH,),
) -> Envelope:
    """The elements are rows, or hold them in turn, if they have next to nothing of their own."""
    if ARRAY in place.kinds:
        return Envelope(steps, (Level((ROOT, *around), place), *levels))
    if EACH not in steps and (way := _way_deeper(place)) is not None:
        return _through(steps, place, way, levels, around)
    return Envelope(steps, (Level((), place), *levels))


def _way_deeper(place: Seen) -> _Way | None:
    if (several := _one_of_several(place)) is not None:
        return several
    arrays = [key for key, seen in place.keys.items() if _holds_rows(seen, place.count)]
    alone = sum(not set(seen.kinds) & {OBJECT, ARRAY} for seen in place.keys.values())
    if len(arrays) == 1 and (alone <= 1 or _of_arrays_in_time(place.keys[arrays[0]])):
        return (arrays[0],)
    return None


def _holds_rows(seen: Seen, wanted: int) -> bool:
    """Whether it is always there, an array of objects, or of arrays whose values go by position,
    and never empty."""
    if seen.kinds.keys() != {ARRAY} or seen.kinds[ARRAY] != wanted or seen.lengths[0]:
        return False
    inner = seen.element
    if inner is None or inner.nulls:
        return False
    if inner.kinds.keys() == {ARRAY}:
        return of_positions(inner)
    return inner.kinds.keys() == {OBJECT} and inner.keys.keys() not in _PAIRS


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
