"""Messages from files, whatever these are. Called by `nrtctl produce --input`, by `Client.produce`,
and by whatever looks at a sample of somebody's data.

`file_source` is what the producer pulls from. `open_records` gives the very same messages one by
one, each with the place that it came from:

    with open_records(["export.csv"], Reading(encoding="cp1252")) as records:
        for record in records:
            print(record.origin, record.value)   # export.csv, line 2   b'{"id":"1"}'
        print(records.found)                     # what the files were found to be

It needs no Kafka and no configuration, and waits for a pipe until it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nrtctl.pipeline import Pipeline
from nrtctl.producer.sources.files.in_turn import FilesInTurn
from nrtctl.producer.sources.files.kinds import (
    BINARIES,
    KINDS,
    Binary,
    FileSource,
    Found,
    Kind,
    Reading,
)
from nrtctl.producer.sources.files.opening import Wanted, open_source
from nrtctl.producer.sources.files.paths import files_of
from nrtctl.producer.sources.files.records import Read, Records

__all__ = [
    "BINARIES", "KINDS", "Binary", "FileSource", "Found", "Kind", "Read", "Reading", "Records",
    "file_source", "open_records",
]  # fmt: skip


def file_source(
    inputs: Sequence[str],
    pipeline: Pipeline,
    reading: Reading | None = None,
    *,
    key: str | None = None,
) -> FileSource:
    """What `produce` sends of files.

    Args:
        inputs: files, directories and patterns, or `-` for stdin.
        key: the field, or key of the messages, that keys them; None: the pipeline's.

    Raises:
        ConfigError: one of them cannot be read, or is nothing that can be sent.
    """
    paths = files_of(inputs)
    types, known = pipeline.keys_to_types, pipeline.key_path(key)
    wanted = Wanted(reading or Reading(), types, known, own_key=key is not None)
    return open_source(paths[0], wanted) if len(paths) == 1 else FilesInTurn(paths, wanted)


def open_records(
    inputs: Sequence[str],
    reading: Reading | None = None,
    *,
    types: Mapping[str, str] | None = None,
    key: str | None = None,
) -> Records:
    """The messages that `produce` would send of these files, in order.

    Args:
        inputs: files, directories and patterns, or `-` for stdin.
        types: column of CSV = ClickHouse type, which decides whether a cell becomes a number;
            None: every cell stays text.
        key: the field that keys a message; None: no keys.

    Raises:
        ConfigError: a pattern or a directory has no files. Iterating raises it for a file that
            cannot be read, or is nothing that can be sent, and NrtctlError for one that cannot be
            read any further.
    """
    return Records(files_of(inputs), reading or Reading(), types=types or {}, key=key)
