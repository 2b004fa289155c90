"""Dead letters as a source of messages for another topic. Called by `nrtctl dlq replay --to-topic`.

Each goes out with its own key, value, timestamp and headers, and with headers that say where it
came from and why it was rejected.
"""

from __future__ import annotations

from dataclasses import replace

from nrtctl.clickhouse.queries import Storage
from nrtctl.dead_letters.letters import (
    Content,
    among,
    batches,
    contents,
    incarnations_of,
    pages,
)
from nrtctl.dead_letters.selection import Selection
from nrtctl.pipeline import Pipeline
from nrtctl.producer.sources import Record, Unsendable
from nrtctl.producer.sources.marks import FOREIGN
from nrtctl.store.target import letters_of

PIECE, PIECE_BYTES = 1000, 16 * 2**20
"""Letters whose content is held at once, and its size."""


class LettersSource:
    """A `sources.Source` of the letters of a selection. `fix`: SQL that makes the value."""

    def __init__(
        self,
        storage: Storage,
        pipeline: Pipeline,
        database: str,
        selection: Selection,
        *,
        fix: str = "value",
    ) -> None:
        self.unsendable = Unsendable()
        self.skipped = 0
        self.exhausted = False
        self._storage = storage
        self._pipeline = pipeline
        self._database = database
        self._fix = fix
        self._pieces = (
            (number, piece)
            for number in incarnations_of(storage, pipeline, database, selection)
            for page in pages(
                storage, pipeline, database, replace(selection, incarnation=number).where(pipeline)
            )
            for piece in batches(page, PIECE, PIECE_BYTES)
        )
        self._ready: list[Record] = []

    def take(self, limit: int) -> list[Record]:
        if not self._ready:
            incarnation, piece = next(self._pieces, (None, []))
            if not piece:
                self.exhausted = True
                return []
            of = letters_of(self._pipeline, incarnation)
            where = f"{of} AND {among(piece)}"
            found = contents(self._storage, self._pipeline, self._database, where, value=self._fix)
            self._ready = [record(self._pipeline.topic, each) for each in found]
        taken, self._ready = self._ready[:limit], self._ready[limit:]
        return taken

    @property
    def bulk(self) -> bool:
        return False

    def size_hint(self) -> None:
        return None

    def close(self) -> None:
        return None


def record(topic: str, letter: Content) -> Record:
    """The message that is sent for a letter."""
    added = {
        "topic": topic, "partition": letter.partition, "offset": letter.offset,
        "timestamp": letter.timestamp, "reason": letter.reason, "field": letter.field,
        "error": letter.error,
    }  # fmt: skip
    headers = [(name.decode(errors="replace"), value) for name, value in letter.headers]
    headers += [(f"nrtctl.{name}", str(value).encode()) for name, value in added.items()]
    extra: dict[str, object] = {"headers": headers}
    if letter.timestamp > 0:
        extra["timestamp"] = letter.timestamp
    return letter.key, letter.value, extra, FOREIGN
