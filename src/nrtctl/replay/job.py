"""A load as Kafka keeps it: what is to be loaded, in which windows. Pure.

Used by `replay.load`, `swap`.

Two groups hold it, so that it survives the machine: `<group>.replay.<table>.job` says per partition
what was asked (offset: the start; metadata: the rest); the committed offsets of
`<group>.replay.<table>`, which are those of an ordinary consumer, say how far it has come.
`<table>` is the one that is written: the pipeline's own, or that of `--into`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nrtctl.store.intents import OffsetRange

VERSION = 1


def work_group(group: str, table: str) -> str:
    return f"{group}.replay.{table}"


def job_group(group: str, table: str) -> str:
    return f"{work_group(group, table)}.job"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the end of `--swap` needs to know, written before anything is exchanged.

    Attributes:
        at: the server's time then, milliseconds since the epoch.
        uuid: of the table that was loaded.
        offset, metadata: the group's, which it gets back.
    """

    at: int
    uuid: str
    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Span:
    """One partition's part of a load.

    Attributes:
        window: offsets that are deleted and loaded together.
        pipeline: `into.fingerprint` of what another table is loaded by; empty: the pipeline's own.
        exchange: set from the time on that the swap begins.
    """

    start: int
    end: int
    window: int
    pipeline: str = ""
    exchange: Exchange | None = None

    def metadata(self) -> str:
        value: dict[str, Any] = {"nrtctl_load": VERSION, "end": self.end, "window": self.window}
        if self.pipeline:
            value["pipeline"] = self.pipeline
        if self.exchange is not None:
            value["exchange"] = [
                self.exchange.at, self.exchange.uuid, self.exchange.offset, self.exchange.metadata,
            ]  # fmt: skip
        return json.dumps(value, separators=(",", ":"))

    def next_window(self, position: int) -> OffsetRange | None:
        """The window that `position` lies in or stands before; None: all is loaded."""
        if position >= self.end:
            return None
        number = (max(position, self.start) - self.start) // self.window
        begin = self.start + number * self.window
        return OffsetRange(begin, min(self.end, begin + self.window))


def parse(start: int, metadata: str) -> Span:
    """Raises ValueError: another program's, or a newer version's."""
    try:
        value: Any = json.loads(metadata)
        if value["nrtctl_load"] != VERSION:
            raise ValueError(f"version {value['nrtctl_load']!r}")
        end, window = int(value["end"]), int(value["window"])
        if not (start <= end and window > 0):
            raise ValueError("no range")
        exchange = None
        if "exchange" in value:
            at, uuid, offset, text = value["exchange"]
            exchange = Exchange(int(at), str(uuid), int(offset), str(text))
        return Span(start, end, window, str(value.get("pipeline", "")), exchange)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"it does not describe a load: {error}") from error


def to_clear(
    window: OffsetRange, position: int, *, pending: bool, log_start: int
) -> OffsetRange | None:
    """The offsets whose old rows go before this window is loaded; None: they are gone already.

    Rows come back only under an intent. So while the position stands at the window's start with
    nothing declared, none has come back; afterwards, all that were there are gone. Rows below the
    log's start could not be loaded again, and stay.
    """
    if position > window.start or pending:
        return None
    start = max(window.start, log_start)
    return OffsetRange(start, window.end) if start < window.end else None


def ends_of(spans: Mapping[int, Span], positions: Mapping[int, int]) -> dict[int, OffsetRange]:
    """The windows that are next, by partition; empty: the load is done."""
    found = {n: span.next_window(positions.get(n, span.start)) for n, span in spans.items()}
    return {n: window for n, window in found.items() if window is not None}
