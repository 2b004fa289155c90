"""Where in an answer its records stand, and how far they reach. Pure. Called by `cli.fetching`."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.pipeline.fields import Path
from nrtctl.pipeline.json_text import value_of
from nrtctl.producer.sources import Source, Taken, records_of
from nrtctl.producer.sources.around import Around
from nrtctl.producer.sources.files.texts import text_at

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def parsed_path(text: str, option: str) -> Path:
    """`data.items` as its keys. Raises ConfigError."""
    keys = tuple(text.split("."))
    if not all(keys):
        raise ConfigError(f"{option}: {text!r} is not a path: write keys with dots between them")
    return keys


def parsed_cursor(text: str) -> tuple[str, Path]:
    """`since=updated_at` as the parameter and the path. Raises ConfigError."""
    name, equals, path = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"--cursor: write PARAMETER=PATH, as in since=updated_at, not {text!r}")
    return name, parsed_path(path, "--cursor")


def raw_at(answer: bytes, path: Path, place: str) -> bytes:
    """The JSON text of the array at a path, as it stands there.

    Args:
        place: what the answer is called.

    Raises:
        NrtctlError: there is none.
    """
    try:
        text = answer.decode()
        at = _after_space(text, 0)
        for key in path:
            at = _member(text, at, str(key))
        _, end = text_at(text, at, whole=True)
    except KeyError as error:
        raise NrtctlError(
            f"{place} has no {error.args[0]!r} on the way to {'.'.join(map(str, path))}",
            hint="--records is the path to the array of records, as in data.items",
        ) from None
    except ValueError as error:
        raise NrtctlError(f"{place} is not JSON: {error}") from None
    if text[at] != "[":
        raise NrtctlError(f"{place} has no array at {'.'.join(map(str, path))}")
    return text[at:end].encode()


def _member(text: str, at: int, key: str) -> int:
    """Where the value of a key of the object at `at` begins. Raises KeyError, ValueError."""
    if text[at : at + 1] != "{":
        raise KeyError(key)
    at = _after_space(text, at + 1)
    while text[at : at + 1] == '"':
        name, end = text_at(text, at, whole=True)
        at = _after_space(text, end)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
        at = _after_space(text, at + 1)
        if name == key:
            return at
        _, end = text_at(text, at, whole=True)
        at = _after_space(text, end)
        if text[at : at + 1] != ",":
            break
        at = _after_space(text, at + 1)
    raise KeyError(key)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


class Highest:
    """The highest value of a path, over all records: numbers by their size, texts by their order.

    Args:
        start: the one that is known already, as text; empty: none.
    """

    def __init__(self, path: Path, start: str = "") -> None:
        self._path = path
        self.text = start

    def see(self, record: bytes) -> None:
        """Raises NrtctlError: it has no such value."""
        try:
            found = value_of(record, self._path)
        except ValueError:
            found = None
        if isinstance(found, bool) or not isinstance(found, int | float | str):
            raise NrtctlError(
                f"a record has no text or number at {'.'.join(map(str, self._path))}, "
                "which --cursor names"
            )
        text = found if isinstance(found, str) else orjson.dumps(found).decode()
        if not self.text or _order(text) > _order(self.text):
            self.text = text


def _order(text: str) -> tuple[int, Any]:
    """Texts that are numbers compare as such: an id is often a number in a text."""
    if _NUMBER.fullmatch(text) is None:
        return (1, text)
    try:
        return (0, Decimal(text))
    except InvalidOperation:  # an exponent of 19 digits
        return (1, text)


class Watched(Around):
    """The records of `source`, each of which `highest` sees."""

    def __init__(self, source: Source, highest: Highest) -> None:
        super().__init__(source)
        self._highest = highest

    def take(self, limit: int) -> Taken:
        taken = self._source.take(limit)
        for _, value, _, _ in records_of(taken):
            self._highest.see(value or b"")
        return taken
