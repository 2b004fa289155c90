"""The file that leads back: where a group stood before `replay` moved it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nrtctl.errors import ConfigError
from nrtctl.kafka.partitions import LogPartition

FORMAT = "nrtctl-undo"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Undo:
    """`offsets`: partition to the committed offset; None: there was none. `topic_id`: Kafka's;
    empty: it is not known."""

    group: str
    topic: str
    table: str
    time: str
    offsets: dict[int, int | None]
    topic_id: str = ""


def write(
    path: Path,
    *,
    group: str,
    topic: str,
    topic_id: str,
    table: str,
    time: str,
    entries: Iterable[LogPartition],
) -> None:
    """Make a new file of mode 0600, on disk before this returns.

    Raises:
        ConfigError: there is such a file, or it cannot be written.
    """
    value = {
        "format": FORMAT, "version": VERSION, "group": group, "topic": topic,
        "topic_id": topic_id, "table": table, "time": time, "partitions": [
            {name: asdict(each)[name] for name in ("partition", "committed", "metadata")}
            for each in entries
        ],
    }  # fmt: skip
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(value, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(
            f"the undo file {path} cannot be written, and nothing was moved: {error.strerror}",
            hint="name another one with --undo-file",
        ) from error


def read(path: Path) -> Undo:
    """Raises ConfigError: it cannot be read, or is not an undo file of this version."""
    try:
        value: Any = json.loads(path.read_bytes())
        if value["format"] != FORMAT or value["version"] != VERSION:
            raise ValueError(f"it is {value['format']!r} version {value['version']!r}")
        offsets: dict[int, int | None] = {}
        for each in value["partitions"]:
            number, offset = each["partition"], each["committed"]
            if type(number) is not int or not (offset is None or type(offset) is int):
                raise ValueError("an offset is not a number")
            if number < 0 or (offset is not None and offset < 0) or number in offsets:
                raise ValueError(f"partition {number} is not valid")
            offsets[number] = offset
        texts = [value[name] for name in ("group", "topic", "table", "time")]
        texts.append(value.get("topic_id", ""))  # files of earlier versions have none
        if not offsets or not all(isinstance(each, str) for each in texts):
            raise ValueError("it contains no offsets")
        group, topic, table, time, topic_id = texts
        return Undo(group, topic, table, time, offsets, topic_id)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not an undo file: {error}",
            hint="`nrtctl replay offsets --execute` writes one",
        ) from error
