"""What is stored at once: the messages of one offset range of one partition. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from nrtctl.store.intents import OffsetRange
from nrtctl.store.tokens import Tokens


class Batch:
    """The messages of one offset range of one partition. An insert carries one, or several.

    Attributes:
        epoch: the partition's (`store.intents.Position`).
        shared: names the token that it goes under with batches of other partitions (`together`).
        offsets: of the messages, ascending.
        pieces: their rows, many in each; what is large is never copied into one.
        sizes: of the rows, in bytes; `size`: of all of them.
        tokens: its owner's; None: those of a batch that a group declares.
        letters_after: of a batch that was made of dead letters: those that were inserted no later
            (ms since the epoch, the server's time) are what is sent, and say nothing of it.
    """

    __slots__ = (
        "epoch", "letters_after", "offsets", "partition", "pieces", "shared", "size", "sizes",
        "span", "tokens",
    )  # fmt: skip

    def __init__(
        self,
        partition: int,
        epoch: str,
        span: OffsetRange,
        offsets: Sequence[int],
        pieces: Sequence[bytes],
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
        self.pieces = pieces
        self.size = sum(map(len, pieces))
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
        sizes = array("Q", map(len, rows))
        return cls(partition, epoch, span, offsets, [b"".join(rows)], sizes, shared)

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
        span, sizes = OffsetRange(offsets[0], offsets[-1] + 1), array("Q", map(len, rows))
        pieces = [b"".join(rows)]
        return cls(partition, "", span, offsets, pieces, sizes, "", tokens, letters_after)

    @property
    def rows(self) -> list[bytes]:
        """One for each of `offsets`; made anew each time."""
        return [
            piece[start:end]
            for piece, sizes in self.by_piece()
            for start, end in pairwise(accumulate(sizes, initial=0))
        ]

    def by_piece(self) -> Iterator[tuple[bytes, Sequence[int]]]:
        """Each piece, and the sizes of its rows."""
        ends = list(accumulate(self.sizes))
        first = end = 0
        for piece in self.pieces:
            end += len(piece)
            behind = bisect_right(ends, end)
            yield piece, self.sizes[first:behind]
            first = behind
