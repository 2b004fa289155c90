"""A load from what is asked to what has become of it. Called by `nrtctl replay load`.

1. A load that was begun and not finished goes on, as it was begun; it is refused where nobody asked
   for that, or where the pipeline has changed since.
2. Else the range is planned: within the log, and what the group has stored.
3. An exchange refuses what it would leave behind.
4. What is to be done is written down (`Load.begin`); from then on it is to be finished.
5. All is loaded; with an exchange the tables are checked and exchanged.
6. The result is checked against the log, current states are mended from it, and the load is
   forgotten, unless it is still to be exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.kafka.offsets import is_empty, parse_range
from nrtctl.replay.load import Load
from nrtctl.replay.ranges import Check, Part, State
from nrtctl.replay.swap import Swap


class Loading:
    """Args: exchange: for another table; swap: it is asked for, and else goes on if it was begun.

    Attributes:
        resumed: there is a load that was begun. `late`: it is already being exchanged.
    """

    def __init__(self, work: Load, exchange: Swap | None, *, swap: bool) -> None:
        self.work = work
        self._spans = work.unfinished()
        self.resumed = bool(self._spans)
        self.late = exchange is not None and exchange.begun(self._spans)
        self.exchange = exchange if swap or self.late else None
        self._swap = swap

    def parts(
        self, offset: str, partitions: Sequence[int], *, now: float, resume: bool
    ) -> list[Part]:
        """What is to be loaded: steps 1 to 3.

        Args:
            offset: FROM:TO. `now`: seconds since the epoch, for times before it.

        Raises:
            ConfigError: as `Load.plan`; `offset` is no range; the pipeline has changed.
            NrtctlError: a load is unfinished and `resume` is not given, or the reverse.
        """
        resume = resume or (self._swap and self.late)
        if not self.resumed:
            if resume:
                raise NrtctlError("there is no interrupted load")
            try:
                first, last = parse_range(offset, now)
            except ValueError as error:
                raise ConfigError(f"--offset: {error}") from error
            if is_empty(first, last):
                raise ConfigError(
                    f"--offset: {offset!r} is an empty range: a range does not include its end"
                )
            parts = self.work.plan(first, last, partitions)
        else:
            self.work.refuse_change(self._spans)
            if not resume:
                raise self._unfinished()
            parts = [Part(number, span, "") for number, span in self._spans.items()]
        self._spans = {each.partition: each.span for each in parts if each.span is not None}
        if self.exchange is not None and not self.late:
            self.exchange.refuse(self._spans)
        return parts

    def _unfinished(self) -> NrtctlError:
        table, other = self.work.pipeline.table, self.work.other
        offsets = sum(span.end - span.start for span in self._spans.values())
        whole = other and self.work.done(self._spans) == offsets
        return NrtctlError(
            f"{table} has been loaded, but not exchanged"
            if whole
            else f"a load of {table} is not finished"
            + ("" if other else ", and rows are missing until it is"),
            hint=f"`{self.work.again}{' --swap' if whole else ''}` continues it",
        )

    def run(
        self, begun: Callable[[int], None], around: AbstractContextManager[object]
    ) -> tuple[State, Check | None]:
        """Steps 4 to 6, once `parts` has said what; `dry`: that is nothing.

        Args:
            begun: told how many offsets of it are loaded already.
            around: entered while it loads.
        """
        if not self._spans:
            return "dry", None
        if not self.resumed:
            self.work.begin(self._spans)
        begun(self.work.done(self._spans))
        with around:
            finished = (self.exchange or self.work).run(self._spans)
        if not finished:
            return "stopped", self.exchange.checked if self.exchange else None
        if self.exchange is not None:
            self.work.finish()
            return "swapped", self.exchange.checked
        check = self.work.check(self._spans)
        if not self.work.other:
            self.work.mend_states()
            self.work.finish()
        return "loaded", check
