"""The leader epochs of one partition: from which offset on each one holds (KIP-101, KIP-320)."""

from __future__ import annotations

from bisect import bisect_right


class Epochs:
    def __init__(self, history: list[tuple[int, int]]) -> None:
        """`history` is (epoch, start offset), ascending, at least one."""
        self.history = history

    @property
    def current(self) -> int:
        return self.history[-1][0]

    def bump(self, start_offset: int) -> None:
        """Begin a new epoch at the log end, after a truncation to `start_offset`."""
        epoch = self.current + 1
        self.history = [entry for entry in self.history if entry[1] < start_offset]
        self.history.append((epoch, start_offset))

    def end_offset(self, epoch: int, log_end: int) -> tuple[int, int]:
        """The largest epoch that is not above `epoch`, and where it ends; (-1, -1) if unknown."""
        if epoch == self.current:
            return epoch, log_end
        if epoch > self.current:
            return -1, -1
        at = bisect_right(self.history, epoch, key=lambda entry: entry[0])
        if at == 0:
            return epoch, self.history[0][1]
        return self.history[at - 1][0], self.history[at][1]
