"""Names for columns, tables and topics from what keys and files are called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

_ENDINGS = re.compile(
    r"\.(?:gz|gzip|bz2|xz|lzma|zst|zstd|lz4|jsonl|ndjson|json|geojson|messages|csv|tsv|txt|log"
    r"|parquet|pq|avro|arrow|arrows|feather|orc|dat|data)$",
    re.IGNORECASE,
)
TABLE = "events"
"""Where a file's name gives none."""

LONGEST = 60


def identifier(text: str, *, otherwise: str) -> str:
    """An SQL identifier that does not begin with `_`, as near to the text as it can be."""
    ascii_only = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    kept = ascii_only.encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_]+", "_", kept).strip("_")
    if not name:
        return otherwise
    return f"{otherwise}_{name}" if name[0].isdigit() else name


def column(path: Sequence[str | int], taken: Collection[str]) -> str:
    """A name that no other column has."""
    last = identifier("_".join(map(str, path)), otherwise="f")[:LONGEST].rstrip("_")
    name, number = last, 1
    while name in taken:
        number += 1
        name = f"{last}_{number}"
    return name


def table_of(file_name: str) -> str:
    """The table's name for the messages of a file; `-` and names of digits only have none."""
    stem = file_name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    while (shorter := _ENDINGS.sub("", stem)) not in {stem, ""}:
        stem = shorter
    name = identifier(stem.replace("-", "_"), otherwise="t")[:LONGEST].rstrip("_").lower()
    letters = re.search(r"[a-z]", name.removeprefix("t_"))
    name = re.sub(r"_+", "_", name)
    if not letters or name in {"t", "dead_letters", "dead_letters_log"}:
        return TABLE
    return name
