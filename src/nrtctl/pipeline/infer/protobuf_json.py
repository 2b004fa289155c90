"""Messages as Protobuf's own printing to JSON has them: integers of 64 bits are digits in strings,
others are numbers. Called by `draft`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nrtctl.pipeline.infer import holding, looks
from nrtctl.pipeline.infer.seen import STRING, Sample, Seen

_KEY = re.compile(r"[a-z][a-zA-Z0-9]*|@type")
_TWO_WORDS = re.compile(r"[a-z0-9][A-Z]")
_ENUM = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_DURATION = re.compile(r"-?[0-9]+(?:\.[0-9]{1,9})?s")
_TYPE = "@type"
_LONG = 10**15
"""What is seldom in a string for another reason."""

_NO_COUNT = re.compile(r"(?:[Vv]ersion|[Cc]ode|[Zz]ip|[Pp]hone|[Pp]ostal[A-Za-z]*)$")
"""Names of what is text even if it has only digits."""


def mark_numbers(sample: Sample) -> None:
    """Mark the strings that are integers of 64 bits, where the messages are of this kind."""
    places = [*_places(sample.root), *_places(sample.lists)]
    if not _is_printed(places):
        return
    for key, seen in places:
        if _digits(seen) is not None and not _NO_COUNT.search(key):
            seen.digits_are_numbers = True


def _is_printed(places: list[tuple[str, Seen]]) -> bool:
    keys = {key for key, _ in places}
    if not all(map(_KEY.fullmatch, keys)) or not any(map(_TWO_WORDS.search, keys)):
        return False
    if any((seen.low or 0) < -(2**31) or (seen.high or 0) >= 2**32 for _, seen in places):
        return False
    texts = [seen for _, seen in places if seen.kinds.keys() == {STRING}]
    if not any(_digits(seen) for seen in texts):
        return False
    said = _TYPE in keys or any(max(_digits(seen) or [0]) >= _LONG for seen in texts)
    return said or any(
        all(map(form.fullmatch, seen.strings)) for seen in texts for form in (_ENUM, _DURATION)
    )


def _digits(seen: Seen) -> list[int] | None:
    return looks.integers(seen.strings) if seen.kinds.keys() == {STRING} else None


def _places(place: Seen, key: str = "") -> Iterator[tuple[str, Seen]]:
    """Each place with its key, but for those of maps, whose keys are data; elements have the key
    of their array."""
    if holding.mapping(key, place) is None:
        for name, seen in place.keys.items():
            yield name, seen
            yield from _places(seen, name)
    if place.element is not None:
        if key:
            yield key, place.element
        yield from _places(place.element, key)
