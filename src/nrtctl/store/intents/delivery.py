"""Storing one batch exactly once: what to do next, and what each answer means. Pure.

A `Delivery` is a frozen value. `next_action` says what to do, `after` takes what came of it.
`store.writer` carries the actions out over Kafka and ClickHouse; the property tests carry the
same ones out over a simulated world of crashes, zombies and late inserts.

What the order of the steps rests on:

- The whole batch goes first under its own token, whatever may be there. The engine drops a token
  that is in, at the moment it would commit it; so once such an insert has been acknowledged, no
  earlier or later copy of it can land any more, and only then a count of the rows says anything.
- A token can be spent without its rows (a crash of the engine between the two), so after any doubt
  the rows are counted. Where they are not right, what is there is deleted and the whole batch goes
  under the next token.
- Everything that a second member would send for the same batch has the same tokens and the same
  content: nothing is left out of a part because it is there already, but what the first insert
  itself has rejected, and what the SQL throws on; the token says which that is. Where it cannot be
  found, the batch is halved by its range.
- Batches of several partitions may go first in one insert, under one token that all their intents
  name. Each is a delivery of its own nevertheless: its rows alone go under that token whenever more
  is to be known, and where the token was spent by the rows of others they go under the next.
- A deletion names the moment at which the rows were seen: a late one takes no newer row.
- Who fills gaps has no lease that keeps others out, so nothing is deleted there: what is missing
  goes again, under the token of just these offsets, and rows that are there twice are the owner's
  to remove, by their place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from nrtctl.store.intents.ranges import OffsetRange, ranges_of

MOST_ATTEMPTS = 50
MOST_SEARCHES = 2
"""For what the SQL throws on, of one part: a quick one and a thorough one; then it is halved."""


class Mode(Enum):
    """What is known of a batch before the first step."""

    NEW = "nobody has sent it before"
    RESUME = "it was declared before: it may be there, under the tokens that it has here"
    LOOK = "it may be there under other tokens: look before anything is sent"
    ONCE = "at least once: no intents, and a look only where an answer was missed"
    FILL = "no intents: its offsets had no row, those between are others'; what is there stays"


# Actions: what the owner of a delivery is to do.


@dataclass(frozen=True, slots=True)
class Declare:
    """Commit the intent of the batch."""

    span: OffsetRange


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert the messages of `offsets`, as a part of `span`, under the token of this attempt.

    `without`: the messages of the part that are left out, since the SQL throws on them.
    """

    span: OffsetRange
    offsets: Sequence[int]
    attempt: int
    without: tuple[int, ...] = ()


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
class Find:
    """Find messages among `offsets` that the pipeline's SQL throws on.

    `thorough`: all of them; else those that can be found with a few questions.
    """

    offsets: Sequence[int]
    thorough: bool = False


@dataclass(frozen=True, slots=True)
class Thrown:
    """A message that the SQL throws on. Attributes: field: the column that does, if it is one."""

    offset: int
    error: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class StoreDeadLetters:
    """Store messages as dead letters with the server's errors, in one insert."""

    letters: tuple[Thrown, ...]
    attempt: int


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


Action = (
    Declare | Insert | Count | List | Delete | Find | StoreDeadLetters | Done | Quit | Stop
)  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Found:
    """The messages that the SQL throws on, ascending; none: it is not known which they are."""

    thrown: tuple[Thrown, ...]


Outcome = (
    Declared | Refused | Acknowledged | Unsure | Rejected | Fatal | Counted | Listed | Found
)  # fmt: skip


class Phase(Enum):
    PLACE = "insert the first part of the work"
    COUNT = "count the batch's rows"
    LIST = "list the batch's rows"
    DELETE = "delete what is there, since it is not what should be there"
    LIST_PART = "list the rows of the part that was rejected"
    FIND = "find the messages of the part that the SQL throws on"
    LETTER = "store the messages that the SQL throws on as dead letters"
    DONE = "done"
    QUIT = "quit"
    STOP = "stop"


WRITES = frozenset({Phase.PLACE, Phase.DELETE, Phase.LETTER})
ENDS = frozenset({Phase.DONE, Phase.QUIT, Phase.STOP})


@dataclass(frozen=True, slots=True)
class _Part:
    """Messages to insert, or to store as dead letters.

    Attributes:
        without: as of `Insert`.
        searched: how often `Find` has been asked about it.
        thrown: they are dead letters.
    """

    span: OffsetRange
    offsets: Sequence[int]
    without: tuple[int, ...] = ()
    searched: int = 0
    thrown: tuple[Thrown, ...] = ()


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
        fills: `Mode.FILL`.
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
    fills: bool = False

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
            lease=None if mode in {Mode.ONCE, Mode.FILL} else lease,
            declared=declared,
            phase=phase if offsets else Phase.DONE,
            doubt=sent or mode in {Mode.RESUME, Mode.LOOK, Mode.FILL},
            attempt=-1 if look else 0,
            work=(_Part(span, offsets),),
            fills=mode is Mode.FILL,
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
                return Insert(part.span, part.offsets, max(0, self.attempt), part.without)
            case Phase.COUNT:
                return Count(self.span)
            case Phase.LIST:
                return List(self.span)
            case Phase.DELETE:
                return Delete(self.found, self.seen_at)
            case Phase.LIST_PART:
                return List(self.work[0].span)
            case Phase.FIND:
                return Find(self.work[0].offsets, thorough=self.work[0].searched > 1)
            case Phase.LETTER:
                return StoreDeadLetters(self.work[0].thrown, max(0, self.attempt))
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
                return self._left(frozenset(stored), frozenset(rejected))
            case Phase.FIND, Found(thrown):
                return self._found(thrown)
            case Phase.DELETE, Acknowledged():
                return replace(self, phase=Phase.PLACE, found=())
        raise ValueError(f"{outcome} is no outcome in the phase {self.phase.name}")

    def _next(self, *work: _Part, doubt: bool = True) -> Delivery:
        """`work` comes instead of the first of what is left."""
        rest = (*work, *self.work[1:])
        phase = Phase.LETTER if rest[0].thrown else Phase.PLACE
        return replace(self, phase=phase, work=rest, doubt=doubt)

    def _placed(self, doubt: bool) -> Delivery:
        """The first part of the work is done."""
        if self.work[1:]:
            return self._next(doubt=doubt)
        look = Phase.LIST if self.fills else Phase.COUNT
        return replace(self, phase=look if doubt else Phase.DONE, work=(), doubt=doubt)

    def _judged(self, stored: Sequence[int], at: int) -> Delivery:
        """Every offset of the batch's range that has a row is known."""
        rows = Counter(stored)
        missing = [offset for offset in self.offsets if not rows[offset]]
        if all(rows[offset] == 1 for offset in self.offsets) or (self.fills and not missing):
            return replace(self, phase=Phase.DONE)
        if self.attempt >= MOST_ATTEMPTS:
            reason = f"the stored rows are still not right after {self.attempt} attempts"
            return replace(self, phase=Phase.STOP, error=reason)
        if self.fills:
            work = (_part_of(missing),)
            return replace(self, phase=Phase.PLACE, attempt=self.attempt + 1, work=work)
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

    def _left(self, stored: frozenset[int], rejected: frozenset[int]) -> Delivery:
        """The first part was rejected: what of it is not to be sent any more is known."""
        part = self.work[0]
        there = stored | rejected if self.fills else rejected
        left = [offset for offset in part.offsets if offset not in there]
        if not left or (len(part.offsets) == 1 and left[0] in stored):
            return self._placed(True)
        if self.letter and part.searched < MOST_SEARCHES:
            part = replace(part, offsets=left, searched=part.searched + 1)
            return replace(self, phase=Phase.FIND, work=(part, *self.work[1:]))
        return self._halved(left, whole=len(left) == len(part.offsets))

    def _found(self, thrown: tuple[Thrown, ...]) -> Delivery:
        """The messages of the first part that the SQL throws on are dead letters, the rest goes."""
        part = self.work[0]
        if not thrown:
            in_vain = replace(part, searched=MOST_SEARCHES)
            known = replace(self, work=(in_vain, *self.work[1:]))
            return known._halved(part.offsets, whole=False)
        without = tuple(sorted({*part.without, *(each.offset for each in thrown)}))
        out = frozenset(without)
        left = [offset for offset in part.offsets if offset not in out]
        letters = _letters(thrown)
        if not left:
            return self._next(letters)
        rest = _part_of(left) if self.fills else replace(part, offsets=left)
        return self._next(replace(rest, without=without, searched=part.searched), letters)

    def _halved(self, left: Sequence[int], *, whole: bool) -> Delivery:
        """Halve the first part, down to the message that fails. `whole`: it was sent just so."""
        if len(left) > 1:
            return self._next(*self._halves(self.work[0], left))
        if not whole:  # what threw may be another, which is no more to be sent
            return self._next(replace(_part_of(left), searched=self.work[0].searched))
        if not self.letter:
            error = f"the message at offset {left[0]}: {self.error}"
            return replace(self, phase=Phase.STOP, error=error)
        return self._next(_letters((Thrown(left[0], self.error),)))

    def _halves(self, part: _Part, left: Sequence[int]) -> list[_Part]:
        """By the range, which is the same for everybody; by number where gaps are filled."""
        if self.fills:
            middle = len(left) // 2
            halves = [_part_of(left[:middle]), _part_of(left[middle:])]
        else:
            halves = [
                _Part(half, inside)
                for half in part.span.halves()
                if (inside := [offset for offset in left if offset in half])
            ]
        return [replace(h, without=part.without, searched=part.searched) for h in halves]


def _part_of(offsets: Sequence[int]) -> _Part:
    return _Part(OffsetRange(offsets[0], offsets[-1] + 1), offsets)


def _letters(thrown: tuple[Thrown, ...]) -> _Part:
    offsets = [each.offset for each in thrown]
    return replace(_part_of(offsets), thrown=thrown)
