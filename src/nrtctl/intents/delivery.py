"""Storing one batch exactly once: what to do next, and what each answer means. Pure.

A `Delivery` is a frozen value. `next_action` says what to do, `after` takes what came of it.
`consumer.writer` carries the actions out over Kafka and ClickHouse; the property tests carry the
same ones out over a simulated world of crashes, zombies and late inserts.

What the order of the steps rests on:

- The whole batch goes first under its own token, whatever may be there. The engine drops a token
  that is in, at the moment it would commit it; so once such an insert has been acknowledged, no
  earlier or later copy of it can land any more, and only then a count of the rows says anything.
- A token can be spent without its rows (a crash of the engine between the two), so after any doubt
  the rows are counted. Where they are not right, what is there is deleted and the whole batch goes
  under the next token.
- Everything that a second member would send for the same batch has the same tokens and the same
  content: a batch is halved by its range, and nothing is left out of a part because it is there
  already, but what the first insert itself has rejected.
- Batches of several partitions may go first in one insert, under one token that all their intents
  name. Each is a delivery of its own nevertheless: its rows alone go under that token whenever more
  is to be known, and where the token was spent by the rows of others they go under the next.
- A deletion names the moment at which the rows were seen: a late one takes no newer row.
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
    """List the offsets of a range's rows, those that the views rejected, and the server's time."""

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
    """The insert or deletion was carried out. `whole`: and every row of it was written."""

    whole: bool = True


@dataclass(frozen=True, slots=True)
class Unsure:
    """No answer, or a passing refusal: it may have been carried out, now or later, or in part."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """It fails on some message, or is too much at once; it may have been carried out in part.

    `letter`: where one message alone fails, it is to become a dead letter; else nothing is stored
    until somebody changes something.
    """

    error: str
    letter: bool = True


@dataclass(frozen=True, slots=True)
class Fatal:
    """It will fail until somebody changes something."""

    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of a batch's range, their distinct offsets, and the sum of the offsets."""

    rows: int
    distinct: int
    total: int

    def of(self, offsets: Sequence[int]) -> bool:
        """Whether it is what the messages of these offsets, each stored once, would give."""
        return self.rows == self.distinct == len(offsets) and self.total == sum(offsets)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a range holds.

    Attributes:
        stored: the offset of every row and dead letter, repeated where doubled.
        rejected: those of the dead letters that the views made.
        at: the server's time, milliseconds since the epoch.
    """

    stored: Sequence[int]
    rejected: Sequence[int]
    at: int


Outcome = (
    Declared | Refused | Acknowledged | Unsure | Rejected | Fatal | Counted | Listed
)  # fmt: skip


class Phase(Enum):
    PLACE = "insert the first part of the work"
    COUNT = "count the batch's rows"
    LIST = "list the batch's rows"
    DELETE = "delete what is there, since it is not what should be there"
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
        attempt: how often the batch went under a new token; -1: not even under the first.
        letter: what failed last may become a dead letter (`Rejected`).
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
    letter: bool = True
    found: tuple[OffsetRange, ...] = ()
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
        sent: bool = False,
    ) -> Delivery:
        """A delivery before its first step. An empty batch is done once it is declared.

        Args:
            sent: rows of other partitions may be in under its first token, with its own or without.
        """
        look = mode is Mode.LOOK
        phase = Phase.COUNT if look else Phase.PLACE
        return cls(
            span=span,
            offsets=offsets,
            lease=None if mode is Mode.ONCE else lease,
            declared=declared,
            phase=phase if offsets else Phase.DONE,
            doubt=sent or mode in {Mode.RESUME, Mode.LOOK},
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
                return Delete(self.found, self.seen_at)
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
            case ((Phase.PLACE | Phase.LETTER), Acknowledged(whole)):
                return self._placed(self.doubt or not whole)
            case Phase.PLACE, Rejected(error, letter):
                return replace(self, phase=Phase.LIST_PART, doubt=True, error=error, letter=letter)
            case Phase.LETTER, Rejected(error):
                return replace(self, phase=Phase.STOP, error=error)
            case Phase.COUNT, Counted():
                complete = outcome.of(self.offsets)
                return replace(self, phase=Phase.DONE if complete else Phase.LIST)
            case Phase.LIST, Listed(stored, _, at):
                return self._judged(stored, at)
            case Phase.LIST_PART, Listed(stored, rejected, _):
                return self._halved(frozenset(stored), frozenset(rejected))
            case Phase.DELETE, Acknowledged():
                return replace(self, phase=Phase.PLACE, found=())
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
        if all(rows[offset] == 1 for offset in self.offsets):
            return replace(self, phase=Phase.DONE)
        if self.attempt >= MOST_ATTEMPTS:
            reason = f"it is still not right after {self.attempt} attempts"
            return replace(self, phase=Phase.STOP, error=reason)
        found = ranges_of(offset for offset in self.offsets if offset in rows)
        return replace(
            self,
            phase=Phase.DELETE if found else Phase.PLACE,
            found=found,
            seen_at=at,
            attempt=self.attempt + 1,
            work=(_Part(self.span, self.offsets),),
            doubt=True,
        )

    def _halved(self, stored: frozenset[int], rejected: frozenset[int]) -> Delivery:
        """The first part was rejected: halve it, down to the one message that the SQL throws on."""
        part = self.work[0]
        left = [offset for offset in part.offsets if offset not in rejected]
        if len(left) > 1:
            halves = [
                _Part(half, inside)
                for half in part.span.halves()
                if (inside := [offset for offset in left if offset in half])
            ]
            return replace(self, phase=Phase.PLACE, work=(*halves, *self.work[1:]))
        if left and len(part.offsets) > 1:  # what threw may be another, which is no more to be sent
            return replace(self, phase=Phase.PLACE, work=(_alone(left[0]), *self.work[1:]))
        if not left or left[0] in stored:
            return self._placed(True)
        if not self.letter:
            error = f"the message at offset {left[0]}: {self.error}"
            return replace(self, phase=Phase.STOP, error=error)
        return replace(self, phase=Phase.LETTER)


def _alone(offset: int) -> _Part:
    return _Part(OffsetRange(offset, offset + 1), [offset])
