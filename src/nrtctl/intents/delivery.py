"""Storing one batch exactly once: what to do next, and what each answer means. Pure.

A `Delivery` is a frozen value. `next_action` says what to do, `after` takes what came of it.
`consumer.writer` carries the actions out over Kafka and ClickHouse; the property tests carry the
same ones out over a simulated world of crashes, zombies and late inserts.

What the order of the steps rests on:

- The whole batch goes first under its own token, whatever may be there. The engine drops a token
  that is in, at the moment it would commit it; so once such an insert has been acknowledged, no
  earlier or later copy of it can land any more, and only then a count of the rows says anything.
- A token can be spent without its rows (a crash of the engine between the two), so after any doubt
  the rows are counted, and what is missing goes under the next token.
- Everything that a second member would do for the same batch carries the same tokens.
- A deletion names the moment at which the doubled rows were seen: a late one takes no newer row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from nrtctl.intents.ranges import OffsetRange, ranges_of

MOST_ATTEMPTS = 50


class Mode(Enum):
    """What is known of a batch before the first step."""

    NEW = "nobody has sent it before"
    RESUME = "it was declared before: it may be there, under the tokens that it has here"
    LOOK = "it may be there under other tokens: look before anything is sent"
    ONCE = "at least once: no intents, and a look only where an answer was missed"


# Actions: what the owner of a delivery is to do.


@dataclass(frozen=True, slots=True)
class Declare:
    """Commit the intent of the batch."""

    span: OffsetRange


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert the messages of `offsets` under the token's suffix `token`, as a part of `span`."""

    span: OffsetRange
    offsets: Sequence[int]
    token: str


@dataclass(frozen=True, slots=True)
class Count:
    """Count the rows of the batch's range and their distinct offsets, and sum the offsets."""

    span: OffsetRange


@dataclass(frozen=True, slots=True)
class List:
    """List the offset of every row of a range, and the server's time."""

    span: OffsetRange


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the rows of these ranges that were inserted no later than `until`."""

    ranges: tuple[OffsetRange, ...]
    until: int


@dataclass(frozen=True, slots=True)
class StoreDeadLetter:
    """Store one message as a dead letter with the server's error."""

    offset: int
    error: str
    token: str


@dataclass(frozen=True, slots=True)
class Done:
    """Every message is stored once."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The partition is not ours any more: send nothing."""


@dataclass(frozen=True, slots=True)
class Stop:
    """It cannot be stored until somebody changes something."""

    reason: str


Action = Declare | Insert | Count | List | Delete | StoreDeadLetter | Done | Quit | Stop


# Outcomes: what came of an action.


@dataclass(frozen=True, slots=True)
class Declared:
    """`at`: seconds on a monotonic clock, read before the intent was sent."""

    at: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The intent was refused: another member has the partition."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The insert or deletion was carried out."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """No answer, or a passing refusal: it may have been carried out, now or later, or in part."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The user's SQL fails on some message; the insert may have been carried out in part."""

    error: str


@dataclass(frozen=True, slots=True)
class Fatal:
    """It will fail until somebody changes something."""

    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    rows: int
    distinct: int
    total: int


@dataclass(frozen=True, slots=True)
class Listed:
    """`stored`: the offset of every row, repeated where doubled; `at`: the server's time, ms."""

    stored: Sequence[int]
    at: int


Outcome = (
    Declared | Refused | Acknowledged | Unsure | Rejected | Fatal | Counted | Listed
)  # fmt: skip


class Phase(Enum):
    PLACE = "insert the first part of the work"
    COUNT = "count the batch's rows"
    LIST = "list the batch's rows"
    DELETE = "delete what is doubled"
    LIST_PART = "list the rows of the part that was rejected"
    LETTER = "store the one message of the part as a dead letter"
    DONE = "done"
    QUIT = "quit"
    STOP = "stop"


WRITES = frozenset({Phase.PLACE, Phase.DELETE, Phase.LETTER})
ENDS = frozenset({Phase.DONE, Phase.QUIT, Phase.STOP})


@dataclass(frozen=True, slots=True)
class _Part:
    span: OffsetRange
    offsets: Sequence[int]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch on its way.

    Attributes:
        span: the batch's range; `offsets` are those of its messages, ascending.
        lease: seconds for which a declared intent may be acted on; None: no intents.
        declared: when the intent was declared (monotonic seconds); None: not yet.
        doubt: what was acknowledged does not say what is there.
        attempt: how often what was missing went under a new token; -1: not even under the first.
    """

    span: OffsetRange
    offsets: Sequence[int]
    lease: float | None
    declared: float | None
    phase: Phase
    doubt: bool
    attempt: int
    work: tuple[_Part, ...]
    error: str = ""
    doubled: tuple[OffsetRange, ...] = ()
    seen_at: int = 0

    @classmethod
    def start(
        cls,
        span: OffsetRange,
        offsets: Sequence[int],
        mode: Mode,
        *,
        lease: float | None,
        declared: float | None = None,
    ) -> Delivery:
        """A delivery before its first step. An empty batch is done once it is declared."""
        look = mode is Mode.LOOK
        phase = Phase.COUNT if look else Phase.PLACE
        return cls(
            span=span,
            offsets=offsets,
            lease=None if mode is Mode.ONCE else lease,
            declared=declared,
            phase=phase if offsets else Phase.DONE,
            doubt=mode in {Mode.RESUME, Mode.LOOK},
            attempt=-1 if look else 0,
            work=(_Part(span, offsets),),
        )

    def next_action(self, now: float) -> Action:
        """What to do now. Args: now: seconds on the clock of `Declared.at`."""
        if self.phase not in ENDS and self.lease is not None:
            never = self.declared is None
            if never or (self.phase in WRITES and now - float(self.declared or 0) > self.lease):
                return Declare(self.span)
        match self.phase:
            case Phase.PLACE:
                part = self.work[0]
                return Insert(part.span, part.offsets, self._token(part.span))
            case Phase.COUNT:
                return Count(self.span)
            case Phase.LIST:
                return List(self.span)
            case Phase.DELETE:
                return Delete(self.doubled, self.seen_at)
            case Phase.LIST_PART:
                return List(self.work[0].span)
            case Phase.LETTER:
                offset = self.work[0].offsets[0]
                return StoreDeadLetter(offset, self.error, f"/{offset}{self._again()}/dead")
            case Phase.DONE:
                return Done()
            case Phase.QUIT:
                return Quit()
            case Phase.STOP:
                return Stop(self.error)

    def after(self, outcome: Outcome) -> Delivery:
        """The delivery after `outcome` of its last action.

        Raises:
            ValueError: this is no outcome of that action.
        """
        match outcome:
            case Declared(at):
                return replace(self, declared=at)
            case Refused():
                return replace(self, phase=Phase.QUIT)
            case Fatal(reason):
                return replace(self, phase=Phase.STOP, error=reason)
            case Unsure():
                return replace(self, doubt=self.doubt or self.phase in WRITES)
        match self.phase, outcome:
            case ((Phase.PLACE | Phase.LETTER), Acknowledged()):
                return self._placed(self.doubt)
            case Phase.PLACE, Rejected(error):
                return replace(self, phase=Phase.LIST_PART, doubt=True, error=error)
            case Phase.LETTER, Rejected(error):
                return replace(self, phase=Phase.STOP, error=error)
            case Phase.COUNT, Counted(rows, distinct, total):
                complete = rows == distinct == len(self.offsets) and total == sum(self.offsets)
                return replace(self, phase=Phase.DONE if complete else Phase.LIST)
            case Phase.LIST, Listed(stored, at):
                return self._judged(stored, at)
            case Phase.LIST_PART, Listed(stored, _):
                return self._narrowed(frozenset(stored))
            case Phase.DELETE, Acknowledged():
                return replace(self, phase=Phase.COUNT, doubled=())
        raise ValueError(f"{outcome} is no outcome in the phase {self.phase.name}")

    def _again(self) -> str:
        return f"/r{self.attempt}" if self.attempt > 0 else ""

    def _token(self, part: OffsetRange) -> str:
        """The suffix to the batch's token: empty for the first attempt at the whole of it."""
        piece = "" if part == self.span else f"/{part.start}-{part.end}"
        return f"{piece}{self._again()}"

    def _placed(self, doubt: bool) -> Delivery:
        """The first part of the work is done."""
        rest = self.work[1:]
        if rest:
            return replace(self, phase=Phase.PLACE, work=rest, doubt=doubt)
        return replace(self, phase=Phase.COUNT if doubt else Phase.DONE, work=(), doubt=doubt)

    def _judged(self, stored: Sequence[int], at: int) -> Delivery:
        """Every offset of the batch's range that has a row is known."""
        rows = Counter(stored)
        doubled = ranges_of(offset for offset in self.offsets if rows[offset] > 1)
        if doubled:
            return replace(self, phase=Phase.DELETE, doubled=doubled, seen_at=at)
        missing = [offset for offset in self.offsets if offset not in rows]
        if not missing:
            return replace(self, phase=Phase.DONE)
        if self.attempt >= MOST_ATTEMPTS:
            reason = f"{len(missing)} messages are still missing after {self.attempt} attempts"
            return replace(self, phase=Phase.STOP, error=reason)
        return replace(
            self,
            phase=Phase.PLACE,
            attempt=self.attempt + 1,
            work=(_Part(self.span, missing),),
            doubt=True,
        )

    def _narrowed(self, stored: frozenset[int]) -> Delivery:
        """A part was rejected: leave out what is there, halve the rest, down to one message."""
        part = self.work[0]
        missing = [offset for offset in part.offsets if offset not in stored]
        if not missing:
            return self._placed(True)
        if len(part.offsets) == 1:
            return replace(self, phase=Phase.LETTER)
        if len(missing) == 1:  # the one that was rejected may be another: ask about it alone
            one = _Part(OffsetRange(missing[0], missing[0] + 1), missing)
            return replace(self, phase=Phase.PLACE, work=(one, *self.work[1:]))
        halves = [
            _Part(half, inside)
            for half in part.span.halves()
            if (inside := [offset for offset in missing if offset in half])
        ]
        return replace(self, phase=Phase.PLACE, work=(*halves, *self.work[1:]))
