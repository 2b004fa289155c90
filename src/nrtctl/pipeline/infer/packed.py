"""Keys whose values are JSON texts in strings, which `unpack` of a pipeline reads as what they
contain. Called by the producer's `sample`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from nrtctl.pipeline.infer import holding
from nrtctl.pipeline.infer.looks import is_packed
from nrtctl.pipeline.infer.seen import ARRAY, OBJECT, STRING, Sample, Seen

_PACKED = frozenset({STRING, OBJECT, ARRAY})


def packed_keys(sample: Sample) -> list[str]:
    """The keys below which every string, or none, is the text of an object or array, and one has
    something in it."""
    found: dict[str, bool] = {}
    for place in (sample.root, sample.lists):
        for key, seen in _texts(place):
            all_of_them = seen.kinds.keys() <= _PACKED and all(map(is_packed, seen.strings))
            if all_of_them:
                found[key] = found.get(key, True)
            elif any(map(is_packed, seen.strings)):
                found[key] = False
    return [key for key, sure in found.items() if sure and _holds_something(sample, key)]


def _holds_something(sample: Sample, key: str) -> bool:
    return any(
        json.loads(text)
        for place in (sample.root, sample.lists)
        for name, seen in _texts(place)
        if name == key
        for text in seen.strings
        if is_packed(text)
    )


def _texts(place: Seen) -> Iterator[tuple[str, Seen]]:
    """Each place below that has strings, with its key; not those of maps, whose keys are data."""
    for key, seen in place.keys.items():
        if seen.strings and key:
            yield key, seen
        if holding.mapping(key, seen) is None:
            yield from _texts(seen)
    if place.element is not None:
        yield from _texts(place.element)
