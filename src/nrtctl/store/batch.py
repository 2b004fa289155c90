"""What is stored at once: the messages of one offset range of one partition. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise

from nrtctl.store.intents import OffsetRange
from nrtctl.store.tokens import Tokens


class Batch:
    """The messages of one offset range of one partition. An insert carries one, or several.

    Attributes:
        epoch: the partition's (`store.intents.Position`).
        shared: names the token that it goes under with batches of other partitions (`together`).
        offsets: of the messages, ascending.
        body: their rows, joined.
        sizes: of the rows, in bytes.
        tokens: its owner's; None: those of a batch that a group declares.
        letters_after: of a batch that was made of dead letters: those that were inserted no later
            (ms since the epoch, the server's time) are what is sent, and say nothing of it.
    """

    __slots__ = (
        "body", "epoch", "letters_after", "offsets", "partition", "shared", "sizes", "span",
        "tokens",
    )  # fmt: skip

    def __init__(
        self,
        partition: int,
        epoch: str,
        span: OffsetRange,
        offsets: Sequence[int],
        body: bytes,
        sizes: Sequence[int],
        shared: str = "",
        tokens: Tokens | None = None,
        letters_after: int | None = None,
    ) -> None:
        self.partition = partition
        self.epoch = epoch
        self.shared = shared
        self.span = span
        self.offsets = offsets
        self.body = body
        self.sizes = sizes
        self.tokens = tokens
        self.letters_after = letters_after

    @classmethod
    def of_rows(
        cls,
        partition: int,
        epoch: str,
        span: OffsetRange,
        offsets: Sequence[int],
        rows: Sequence[bytes],
        shared: str = "",
    ) -> Batch:
        sizes = array("L", map(len, rows))
        return cls(partition, epoch, span, offsets, b"".join(rows), sizes, shared)

    @classmethod
    def of_gaps(
        cls,
        partition: int,
        offsets: Sequence[int],
        rows: Sequence[bytes],
        tokens: Tokens,
        letters_after: int | None = None,
    ) -> Batch:
        """Messages whose offsets had no row; there may be others between (`Mode.FILL`)."""
        span, sizes = OffsetRange(offsets[0], offsets[-1] + 1), array("L", map(len, rows))
        body = b"".join(rows)
        return cls(partition, "", span, offsets, body, sizes, "", tokens, letters_after)

    @property
    def rows(self) -> list[bytes]:
        """One for each of `offsets`; made anew each time."""
        ends = list(accumulate(self.sizes, initial=0))
        return [self.body[start:end] for start, end in pairwise(ends)]
