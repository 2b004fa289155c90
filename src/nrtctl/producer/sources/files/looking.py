"""What a file is, from its beginning. Called by `opening`, before anything of it is sent.

The content decides. A name decides only between CSV and what looks like nothing.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from nrtctl.errors import ConfigError
from nrtctl.producer.sources.files.delimiters import (
    Beginning,
    Form,
    delimiter_named,
    form_of,
    form_with_comments,
    shows_columns,
)
from nrtctl.producer.sources.files.encodings import checked, encoding_of, not_utf8
from nrtctl.producer.sources.files.foreign import foreign
from nrtctl.producer.sources.files.kinds import Kind, Reading
from nrtctl.producer.sources.files.texts import CutOff, space_to, text_at

_BINARY: tuple[tuple[Kind, str, re.Pattern[bytes]], ...] = (
    ("parquet", "a Parquet file", re.compile(rb"PAR1")),
    ("avro", "an Avro file", re.compile(rb"Obj\x01")),
    ("orc", "an ORC file", re.compile(rb"ORC[\0-\x1f\x80-\xff]")),
    ("arrow", "an Arrow file", re.compile(rb"ARROW1\0\0|\xff\xff\xff\xff.{4}\x10\0\0\0", re.S)),
)
_ALIKE = "Avro, Arrow or ORC"
_PACKED = {".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd", ".zip"}
_TABLES: dict[str, Kind] = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".psv": "csv", ".ssv": "csv",
}  # fmt: skip
_LIKE_JSON = re.compile(r"\{|\[\s*[\[{\"]")
_EVIDENCE = 200
"""Lines that are searched for one of JSON, where the first one is none."""


class Undecided(Exception):
    """More must have come before it can be said."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen. `encoding` and `form` where they matter."""

    kind: Kind
    encoding: str = "utf-8"
    form: Form | None = None


def look_at(
    head: bytes, *, name: str, inner: str, whole: bool, reading: Reading, known: frozenset[str]
) -> Look:
    """Args:
        head: the beginning, unpacked.
        inner: the name that says what it is, where that is another one than `name`.
        whole: it is all of the file.
        known: names that columns may have.

    Raises:
        ConfigError: it is nothing that can be sent, or not what `reading` says.
        Undecided: it can be said when more of the file has come; never where `whole`.
    """
    for binary, what, signature in _BINARY:
        if signature.match(head) and reading.kind in {None, binary}:
            return Look(binary)
        if signature.match(head):
            raise ConfigError(f"{name} is {what}", hint=f"leave out --format {reading.kind}")
    if (seen := foreign(head)) is not None:
        what, remedy = seen
        raise ConfigError(
            f"{name} is {what}, and no messages can be read from it", hint=remedy or None
        )
    for binary, what, _ in _BINARY:
        if reading.kind == binary:
            raise ConfigError(f"{name} is not {what}")
    encoding = checked(reading.encoding) if reading.encoding else encoding_of(head)
    text = _text(head, encoding, name=name, whole=whole)
    kind = reading.kind or _kind(
        text, name=inner or name, whole=whole, reading=reading, known=known
    )
    if kind is None:
        raise _nothing(text, name, head, whole=whole, encoding=encoding)
    if kind not in {"csv", "tsv", "text"}:
        return Look(kind, encoding)
    if encoding == "utf-8" and not reading.encoding and not reading.skip_bad_rows:
        _check_utf8(head, name, whole=whole)
    if kind == "text":
        return Look(kind, encoding)
    return Look(kind, encoding, _form(kind, _beginning(text, whole, reading, known), reading))


def _text(head: bytes, encoding: str, *, name: str, whole: bool) -> str:
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    try:
        return decoder.decode(head, final=whole).removeprefix("\ufeff")
    except UnicodeError as error:
        raise ConfigError(
            f"{name} is not in the encoding {encoding}: {error}", hint="see --encoding"
        ) from error


def _kind(
    text: str, *, name: str, whole: bool, reading: Reading, known: frozenset[str]
) -> Kind | None:
    """None: it is neither JSON nor CSV."""
    suffixes = [each.lower() for each in PurePath(name).suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    table = _TABLES.get(suffixes[-1]) if suffixes else None
    if reading.delimiter is not None or reading.columns:
        table = table or "csv"
    start = space_to(text, 0)
    if start == len(text):
        return table or "jsonl"
    if text.startswith("#") and form_with_comments(_beginning(text, whole, reading, known)):
        return table or "csv"
    if not table and not whole and "\n" not in text and len(text) < 2**16:
        raise Undecided
    if (found := _json(text, start, whole=whole, strict=table is not None)) is not None:
        return found
    if table is not None:
        return table
    if not whole and text.count("\n") < 2 and len(text) < 2**16:
        raise Undecided
    if _LIKE_JSON.match(text, start):
        return None
    return "csv" if shows_columns(_beginning(text, whole, reading, known)) else None


def _json(text: str, start: int, *, whole: bool, strict: bool) -> Kind | None:
    """`jsonl` or `json`; None: it is no JSON.

    Args:
        strict: take it for JSON only where objects and arrays say so.
    """
    line_end = text.find("\n", start)
    line = text[start:] if line_end < 0 else text[start:line_end]
    line_is_whole = whole or line_end >= 0
    values = _values(line) if line_is_whole else None
    if values:
        if len(values) > 1:
            return "json" if all(isinstance(each, dict | list) for each in values) else None
        rest = space_to(text, start + len(line))
        if not isinstance(values[0], list):
            plain = isinstance(values[0], dict)
            return "jsonl" if plain or (not strict and _all_json(text, whole=whole)) else None
        if rest < len(text):
            return "jsonl"
        if whole:
            return "json"
        raise Undecided
    if text[start] in "{[" and _goes_on(text, start, whole=whole):
        return "json" if line_is_whole or text[start] == "[" else "jsonl"
    return None if strict else _some_json(text)


def _values(line: str) -> list[Any] | None:
    """The JSON values that a line holds; None: it holds something else."""
    found, at = [], 0
    while at < len(line):
        try:
            value, at = text_at(line, at, whole=True)
        except ValueError:
            return None
        found.append(value)
        at = space_to(line, at)
    return found


def _goes_on(text: str, start: int, *, whole: bool) -> bool:
    """Whether a value begins there that is JSON as far as the text goes."""
    if text[start] == "[" and space_to(text, start + 1) < len(text):
        start = space_to(text, start + 1)
        if text[start] == "]":
            return True
    try:
        text_at(text, start, whole=whole)
    except CutOff:
        return True
    except ValueError:
        return False
    return True


def _all_json(text: str, *, whole: bool) -> bool:
    lines = text.split("\n")
    if not whole:
        lines.pop()
    return all(_values(line.strip()) is not None for line in lines[:_EVIDENCE])


def _some_json(text: str) -> Kind | None:
    lines = [line.strip() for line in text.split("\n")[:_EVIDENCE]]
    objects = [line for line in lines if line[:1] in {"{", "["} and line[-1:] in {"}", "]"}]
    return "jsonl" if any(_values(line) for line in objects) else None


def _beginning(text: str, whole: bool, reading: Reading, known: frozenset[str]) -> Beginning:
    return Beginning(text, whole, known, reading.columns, reading.quotes, reading.skip_lines)


def _form(kind: Kind, beginning: Beginning, reading: Reading) -> Form:
    if found := form_with_comments(beginning):
        named = reading.delimiter and delimiter_named(reading.delimiter)
        return replace(found, delimiter=named or found.delimiter)
    if reading.delimiter is not None:
        return Form(delimiter_named(reading.delimiter), reading.quotes, reading.skip_lines)
    if kind == "tsv":
        return Form("\t", reading.quotes, reading.skip_lines)
    return form_of(beginning)


def _check_utf8(head: bytes, name: str, *, whole: bool) -> None:
    if (found := not_utf8(head, whole=whole)) is not None:
        number, line = found
        raise ConfigError(
            f"{name}, line {number}: text that is not UTF-8",
            hint=f"as cp1252 the line is {line!r}: if that is right, give --encoding cp1252, and "
            "otherwise the encoding that the file is in",
        )


def _nothing(text: str, name: str, head: bytes, *, whole: bool, encoding: str) -> ConfigError:
    if "\0" in text or (encoding == "utf-8" and _is_binary(head)):
        return ConfigError(
            f"{name} is neither JSON, nor CSV, nor Parquet, {_ALIKE}: it contains bytes that are "
            "not text",
            hint="text in UTF-16 without a byte order mark needs --encoding utf-16-le or utf-16-be",
        )
    if (at := space_to(text, 0)) < len(text) and text[at] in "{[":
        return _not_json(text, at, name, whole=whole)
    first = re.sub(r"\s+", " ", text.strip().split("\n", 1)[0])[:60]
    return ConfigError(
        f"{name} is neither JSON, nor CSV, nor Parquet, {_ALIKE}: it begins with {first!r}",
        hint="--format text sends each line as the text of a field, line. If it is CSV: --format "
        "csv takes the first line for the names of the columns, --columns NAMES names them where "
        "no line does, and --delimiter says what separates cells",
    )


def _not_json(text: str, at: int, name: str, *, whole: bool) -> ConfigError:
    why, place = "what follows the first value is not JSON", at
    try:
        _, place = text_at(text, at, whole=whole)
    except json.JSONDecodeError as error:
        why, place = error.msg, error.pos
    except (CutOff, ValueError) as error:
        why = str(error)
    line = text.count("\n", 0, place) + 1
    return ConfigError(
        f"{name}, line {line}: not JSON: {why}",
        hint="--format jsonl sends each line as it is, and wrong ones become dead letters",
    )


def _is_binary(head: bytes) -> bool:
    sample = head[:4096]
    control = sum(byte < 9 or 14 <= byte < 27 or 28 <= byte < 32 for byte in sample)
    return control > len(sample) / 50
