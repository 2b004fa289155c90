"""What is to be done for the partitions of a member: said by `assignment`, done by `loop`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event

from nrtctl.consumer.insert import Insert, Stored
from nrtctl.store.batch import Batch
from nrtctl.store.intents.delivery import Mode


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask ClickHouse for the highest stored offset of these partitions."""

    partitions: frozenset[int]


@dataclass(frozen=True, slots=True)
class AskTopic:
    """Ask Kafka which topic has the name now."""


@dataclass(frozen=True, slots=True)
class DeclaredBatch:
    """A batch whose intent is to be committed. `look`: it may be there under other tokens."""

    batch: Batch
    look: bool


@dataclass(frozen=True, slots=True)
class CommitIntents:
    """Commit the intents of these batches, in one request."""

    batches: Sequence[DeclaredBatch]


@dataclass(frozen=True, slots=True)
class StoredOffset:
    """Everything below `offset` is stored, and nothing is under way."""

    partition: int
    offset: int
    epoch: str


@dataclass(frozen=True, slots=True)
class CommitOffsets:
    """Commit these offsets, in one request."""

    offsets: Sequence[StoredOffset]


@dataclass(frozen=True, slots=True)
class StartInsert:
    """Send the batches, on a thread.

    Attributes:
        mode: what is known of a batch that goes alone; None: several go together.
        declared: when the first of their intents was sent; None: there are no intents.
        give_up: set when they are not to be sent, or not to be waited for.
    """

    insert: Insert
    batches: Sequence[Batch]
    mode: Mode | None
    declared: float | None
    give_up: Event


@dataclass(frozen=True, slots=True)
class ReportStored:
    """The batches of one insert are stored."""

    batches: Sequence[Batch]
    stored: Stored


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the user."""

    text: str


Effect = LookUp | AskTopic | CommitIntents | CommitOffsets | StartInsert | ReportStored | Say
