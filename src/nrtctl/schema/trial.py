"""What a pipeline would do with messages, asked of an engine and kept nowhere. Used by `nrtctl try`
and `nrtctl init --from`.

The engine is asked with the very SQL that the views of the pipeline run (`parsing`, `ddl`), over
values instead of the landing table, so the verdict is the chain's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nrtctl.clickhouse.error_codes import Failure, meaning_of
from nrtctl.clickhouse.queries import Queries
from nrtctl.errors import QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.schema import ddl, field_faults
from nrtctl.schema.field_faults import Finding, finding
from nrtctl.schema.reasons import FIELD_MISSING, FIELD_NULL, WRONG_TYPE, left_out_of

INSERT_FAILED = "insert failed"
OF_FIELDS = {FIELD_MISSING, FIELD_NULL, WRONG_TYPE}
ON_SOME = {Failure.DATA, Failure.SPLIT}
SETTINGS = {
    "readonly": 2,
    "short_circuit_function_evaluation": "enable",
    "max_query_size": 2**30,
    "max_ast_elements": 10_000_000,
}
MOST_EXAMPLES = 10


class Values(Protocol):
    """Messages before an engine; each has a number."""

    @property
    def client(self) -> Queries: ...

    def source(self, first: int, last: int) -> str:
        """SQL: the messages of these numbers, as rows of the landing table; `_offset` is the
        number."""
        ...

    def parsed(self, pipeline: Pipeline, first: int, last: int) -> str:
        """SQL: what `parse_query` makes of them. Raises QueryError: the pipeline's SQL throws."""
        ...


@dataclass(slots=True)
class FieldTally:
    """In how many dead letters a field is at fault, by what is there.

    Attributes:
        first: the first value that makes a dead letter, in the message of the number
            `first_message`, from 1.
    """

    name: str
    wanted: str
    wrong: int = 0
    missing: int = 0
    null: int = 0
    first: Finding | None = None
    first_message: int | None = None

    def add(self, number: int, found: Finding) -> None:
        """Take in what is wrong with the message of this number."""
        self.missing += found.state == field_faults.MISSING
        self.null += found.state == field_faults.NULL
        self.wrong += found.state == field_faults.SEEN
        if self.first is None:
            self.first, self.first_message = found, number

    @property
    def refused(self) -> int:
        return self.wrong + self.missing + self.null


@dataclass(frozen=True, slots=True)
class Example:
    """A message that would be a dead letter: its number from 1, why, and every field at fault.

    Attributes:
        error: the engine's words; else the place of what is wrong, where no field is at fault.
    """

    number: int
    reason: str
    faults: tuple[Finding, ...]
    error: str = ""


@dataclass(slots=True)
class Trial:
    """The verdict on messages that are given in parts.

    Args:
        most_diagnosed: so many dead letters are looked at field by field.

    Attributes:
        left_out: messages that the pipeline does not take.
        rows: that the messages become.
    """

    values: Values
    pipeline: Pipeline
    most_diagnosed: int = 1_000_000
    messages: int = 0
    left_out: int = 0
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    fields: dict[str, FieldTally] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fields = {
            name: FieldTally(name, spec.type) for name, spec in self.pipeline.fields.items()
        }

    @property
    def stored(self) -> int:
        return self.messages - self.refused - self.left_out

    @property
    def refused(self) -> int:
        return self.reasons.total()

    def ask(self, first: int, last: int) -> None:
        """Of the messages `first` to `last`.

        Raises:
            QueryError, ConnectError
        """
        self.messages += last - first + 1
        reasons: dict[int, tuple[str, str]] = {}
        self._judge(first, last, reasons)
        numbers = sorted(reasons)
        looked_at = [n for n in numbers if reasons[n][0] in OF_FIELDS][: self.most_diagnosed]
        self.most_diagnosed -= len(looked_at)
        found = self._diagnosed(looked_at)
        for number in numbers:
            reason, error = reasons[number]
            faults = found.get(number, ())
            self.reasons[reason] += 1
            for each in faults:
                self.fields[each.field].add(number + 1, each)
            if len(self.examples) < MOST_EXAMPLES:
                self.examples.append(Example(number + 1, reason, tuple(faults), error))

    def _diagnosed(self, numbers: Sequence[int]) -> dict[int, list[Finding]]:
        if not numbers:
            return {}
        listed = ", ".join(map(str, numbers))
        source = self.values.source(numbers[0], numbers[-1])
        only = f"(SELECT * FROM {source} WHERE _offset IN ({listed}))"
        rows = self._query(field_faults.faults_query(self.pipeline, only, "_offset"))
        return {int(number): [finding(each) for each in faults] for number, faults in rows}

    def _judge(self, first: int, last: int, reasons: dict[int, tuple[str, str]]) -> None:
        """Into `reasons`: number to reason, and the place or the engine's words. Halved where the
        SQL throws."""
        try:
            parsed = self.values.parsed(self.pipeline, first, last)
            rejected = self._query(
                "SELECT _offset, reason, field, "
                f"_target = {literal(left_out_of(self.pipeline.table))} "
                f"FROM ({ddl.rejected_query(self.pipeline, parsed)})"
            )
            accepted = ddl.accepted_query(self.pipeline, parsed)
            ((_, rows),) = self._query(f"SELECT sum(ignore(*)), count() FROM ({accepted})")
        except QueryError as error:
            if meaning_of(error).failure not in ON_SOME:
                raise
            if first == last:
                reasons[first] = (INSERT_FAILED, error.message)
                return
            middle = (first + last) // 2
            self._judge(first, middle, reasons)
            self._judge(middle + 1, last, reasons)
            return
        self.rows += int(rows)
        self.left_out += sum(bool(skipped) for *_, skipped in rejected)
        reasons.update(
            {int(n): (str(why), str(at)) for n, why, at, skipped in rejected if not skipped}
        )

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.values.client.query(sql, settings=SETTINGS)
