"""The ledger of a `produce` run: what was sent where, and what should become of it.

Written by `producer` as deliveries arrive, read by `verify --ledger`. JSON lines: a header
`{"ledger": 1, "topic": …, "topic_id": …, "started": seconds since the epoch}`, then one object per
message:

    {"partition": 0, "offset": 17, "expect": "stored", "kind": null, "id": "…"}
    {"failed": "MSG_SIZE_TOO_LARGE", "expect": "stored", "kind": null, "id": "…"}

`expect` is `stored`, `dead_letter`, or `either` (the message came from a file, nothing is known
of it); `kind` is a mark of `sources.marks`, or null. `id` is the event's own UUID where the value
starts with `{"event_id": "…"`, else `b2:` and 16 hexadecimal digits of the value's BLAKE2b;
null for a tombstone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.producer.sources.marks import INVALID, Expect, expectation

VERSION = 1
FLUSH_LINES = 5000
MOST_HEADER = 2**16
"""Bytes of the first line, of a file that may be anything."""
_EVENT_ID = re.compile(rb'\{"event_id": ?"([0-9a-fA-F-]{36})"')


@dataclass(frozen=True, slots=True)
class Entry:
    """One message. Partition and offset are None, and `failed` says why, if it was not stored by
    Kafka as far as the producer knows."""

    partition: int | None
    offset: int | None
    expect: Expect
    kind: str | None
    id: str | None
    failed: str | None = None

    @property
    def reason(self) -> str | None:
        """The reason that the dead letter should have; None where none is expected."""
        return INVALID.get(self.kind or "")


def identity(value: bytes | None) -> str | None:
    """The `id` of a message's value."""
    if value is None:
        return None
    match = _EVENT_ID.match(value)
    if match:
        return match[1].decode()
    return "b2:" + blake2b(value, digest_size=8).hexdigest()


class LedgerWriter:
    """Appends to a new file. Lines reach the file in pieces, at the latest with `flush`.

    Raises:
        ConfigError: the file exists already, or cannot be made.
        NrtctlError: from any method, if it cannot be written (a full disk).
    """

    def __init__(self, path: Path, *, topic: str, started: float, topic_id: str = "") -> None:
        self._path = path
        self._lines: list[str] = []
        self._unwritten = b""
        try:
            self._file = path.open("xb", buffering=0)
        except FileExistsError as error:
            raise ConfigError(
                f"{path} exists already",
                hint="a ledger records a single run: remove the file, or name another",
            ) from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
        named = {"topic": topic, **({"topic_id": topic_id} if topic_id else {})}
        header = {"ledger": VERSION, **named, "started": round(started, 3)}
        self._lines.append(json.dumps(header) + "\n")
        self.flush()

    def stored(self, partition: int, offset: int, mark: str | None, value: bytes | None) -> None:
        self._add(f'"partition": {partition}, "offset": {offset}', mark, value)

    def failed(self, reason: str, mark: str | None, value: bytes | None) -> None:
        self._add(f'"failed": {json.dumps(reason)}', mark, value)

    def _add(self, where: str, mark: str | None, value: bytes | None) -> None:
        name = identity(value)
        kind = "null" if mark is None else f'"{mark}"'
        self._lines.append(
            f'{{{where}, "expect": "{expectation(mark)}", "kind": {kind}, '
            f'"id": {"null" if name is None else f"{chr(34)}{name}{chr(34)}"}}}\n'
        )
        if len(self._lines) >= FLUSH_LINES:
            self.flush()

    def flush(self) -> None:
        """What cannot be written is tried again by the next one, from where this one came to."""
        self._unwritten += "".join(self._lines).encode()
        self._lines.clear()
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[self._file.write(self._unwritten) :]
        except OSError as error:
            raise NrtctlError(f"{self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        if self._file.closed:
            return
        try:
            self.flush()
        finally:
            self._file.close()


class Ledger:
    """A ledger to read. `torn` is known after the entries were gone through.

    Raises:
        ConfigError: there is no such file, or it is no ledger of a version known here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = False
        """The last line was cut off: the producer was killed, and may have sent more."""
        try:
            with path.open("rb") as file:
                header = _parsed(file.readline(MOST_HEADER))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error}") from error
        if not isinstance(header, dict) or header.get("ledger") != VERSION:
            raise ConfigError(
                f"{path} is not a ledger of version {VERSION}",
                hint="`nrtctl produce --ledger FILE` writes one",
            )
        self.topic = str(header.get("topic"))
        self.topic_id = str(header.get("topic_id") or "")
        self.started = float(header.get("started", 0.0))

    def __iter__(self) -> Iterator[Entry]:
        """The entries, streamed.

        Raises:
            NrtctlError: a line that is not the last is damaged.
        """
        with self.path.open("rb") as file:
            file.readline()
            for number, line in enumerate(file, start=2):
                entry = _entry(_parsed(line)) if line.endswith(b"\n") else None
                if entry is not None:
                    yield entry
                elif next(file, None) is None:
                    self.torn = True
                else:
                    raise NrtctlError(f"{self.path}, line {number} is not a ledger entry")


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _entry(fields: Any) -> Entry | None:
    try:
        return Entry(
            partition=fields.get("partition"),
            offset=fields.get("offset"),
            expect=fields["expect"],
            kind=fields["kind"],
            id=fields["id"],
            failed=fields.get("failed"),
        )
    except (AttributeError, KeyError, TypeError):
        return None
