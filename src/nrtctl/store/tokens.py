"""Every deduplication token that an insert of messages goes under. Pure.

The same rows have the same token, whoever sends them: so a repeat is dropped, and what was sent by
a process that is gone is met again by the next one, of a later version too. The texts are therefore
never changed. They are, with `<n>` for the offset after the last:

    <topic>/<partition>/<epoch>/<start>-<n>            a batch
    <topic>/~<name>                                    batches of several partitions in one insert
    …/<start>-<n>                                      a part of a batch, halved by its range
    …/without-<digest>                                 the batch, or the part, without these offsets
    …/<offset>/dead                                    one message of it, as a dead letter
    …/dead-<digest>                                    messages of these offsets, as dead letters
    <topic>/<partition>/<first>-<n>/repair-<digest>    these offsets, by `verify --repair`
    <topic>/<partition>/<first>-<n>/repair-letter-<digest>    some of them, as dead letters
    <topic>/<partition>/dlq/<first>-<n>/<digest>       these dead letters, by `dlq replay`
    …/dead                                             the same, as dead letters again
    <topic>/incarnation/<number>                       a topic that was met for the first time

`/r<attempt>` follows where rows are not there although the token before was taken. A load and a
batch that is resolved by `replay` are batches of a consumer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from nrtctl.pipeline import FIRST
from nrtctl.store.intents import OffsetRange


class Tokens(Protocol):
    """The tokens of one batch. `attempt`: how often its rows went under a new one before."""

    def insert(
        self, part: OffsetRange, offsets: Sequence[int], attempt: int, without: Sequence[int] = ()
    ) -> str:
        """Args: offsets: that are sent, of `part` of the batch's range; without: that are not."""

    def letters(self, offsets: Sequence[int], attempt: int) -> str:
        """Of messages that are stored as dead letters."""


@dataclass(frozen=True, slots=True)
class BatchTokens:
    """Of a batch that a group declares.

    Attributes:
        shared: names the token of the first attempt at the whole; empty: it has one of its own.
    """

    topic: str
    partition: int
    epoch: str
    span: OffsetRange
    shared: str = ""

    def insert(
        self, part: OffsetRange, offsets: Sequence[int], attempt: int, without: Sequence[int] = ()
    ) -> str:
        whole = part == self.span
        if self.shared and whole and attempt <= 0 and not without:
            return f"{self.topic}/~{self.shared}"
        piece = "" if whole else f"/{part.start}-{part.end}"
        left_out = f"/without-{_of_offsets(without)}" if without else ""
        return f"{self._own}{piece}{left_out}{_again(attempt)}"

    def letters(self, offsets: Sequence[int], attempt: int) -> str:
        if len(offsets) == 1:
            return f"{self._own}/{offsets[0]}{_again(attempt)}/dead"
        return f"{self._own}/dead-{_of_offsets(offsets)}{_again(attempt)}"

    @property
    def _own(self) -> str:
        return f"{self.topic}/{self.partition}/{self.epoch}/{self.span.start}-{self.span.end}"


@dataclass(frozen=True, slots=True)
class RepairTokens:
    """Of messages that are loaded again. Args: topic: as `topic_of` names it."""

    topic: str
    partition: int

    def insert(
        self, part: OffsetRange, offsets: Sequence[int], attempt: int, without: Sequence[int] = ()
    ) -> str:
        return self._of(offsets, "repair", attempt)

    def letters(self, offsets: Sequence[int], attempt: int) -> str:
        return self._of(offsets, "repair-letter", attempt)

    def _of(self, offsets: Sequence[int], kind: str, attempt: int) -> str:
        span = f"{offsets[0]}-{offsets[-1] + 1}"
        digest = _of_offsets(offsets)
        return f"{self.topic}/{self.partition}/{span}/{kind}-{digest}{_again(attempt)}"


@dataclass(frozen=True, slots=True)
class LetterTokens:
    """Of dead letters that are sent again. A letter that was rejected anew has another token.

    Args:
        topic: as `topic_of` names it.
        inserted: offset to when its letter was stored, ms since the epoch.
    """

    topic: str
    partition: int
    inserted: Mapping[int, int]

    def insert(
        self, part: OffsetRange, offsets: Sequence[int], attempt: int, without: Sequence[int] = ()
    ) -> str:
        digest = _digest(",".join(f"{each}@{self.inserted[each]}" for each in offsets))
        span = f"{offsets[0]}-{offsets[-1] + 1}"
        return f"{self.topic}/{self.partition}/dlq/{span}/{digest}{_again(attempt)}"

    def letters(self, offsets: Sequence[int], attempt: int) -> str:
        part = OffsetRange(offsets[0], offsets[-1] + 1)
        return f"{self.insert(part, offsets, attempt)}/dead"


def of_incarnation(topic: str, number: int) -> str:
    return f"{topic}/incarnation/{number}"


def topic_of(topic: str, incarnation: int) -> str:
    """What stands for a topic where no epoch tells it from others of its name."""
    return topic if incarnation == FIRST else f"{topic}#{incarnation}"


def _of_offsets(offsets: Sequence[int]) -> str:
    return _digest(",".join(map(str, offsets)))


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _again(attempt: int) -> str:
    return f"/r{attempt}" if attempt > 0 else ""
