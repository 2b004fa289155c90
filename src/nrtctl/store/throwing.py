"""Which messages of a batch the pipeline's own SQL throws on, and which column or rule does.

The server evaluates no further than the first error of a statement, so the messages are asked about
in groups (`bisecting`), with the SQL of the views as a SELECT over rows that go with the statement
(`questions`). What is called a failure here has failed alone, by the server's word; or has the same
arguments to the same function as one that has. Asked by `writer` where an insert is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

from nrtctl.clickhouse.client import AccessRefused, ClickHouseGone, QueryError
from nrtctl.clickhouse.queries import Queries
from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.pipeline import Pipeline
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.schema.drift import other_views
from nrtctl.store import questions
from nrtctl.store.bisecting import failing
from nrtctl.store.foreign_views import of_error
from nrtctl.store.intents.delivery import Thrown
from nrtctl.store.questions import Part, Question
from nrtctl.store.rows import LARGE

MOST_TEXT = 640 * 2**10
"""Characters of rows in one statement; the local stack takes statements of a MiB."""

MOST_TWINS = 3
"""Columns that may throw and are asked one by one."""

EVERY = 10.0
"""Seconds between two words about what is found."""

SETTINGS = {
    **LARGE,
    "max_threads": 1,
    "short_circuit_function_evaluation": INSERT_SETTINGS["short_circuit_function_evaluation"],
}


class CannotAsk(Exception):
    """The server does not answer such questions, to this user or at all."""


Rows = list[tuple[Any, ...]]
Ask = Callable[[str, Mapping[str, Any]], Rows | str]
"""Carries out a SELECT: its rows, or the words of the server where it fails on a value. Raises
CannotAsk."""

Class = tuple[int, ...]
"""Offsets of messages on all of which a part throws, or on none."""


class Throwing:
    """What several writers of one pipeline share. Args: tell: is told how far a search is."""

    def __init__(
        self,
        pipeline: Pipeline,
        database: str,
        *,
        cluster: str | None = None,
        clock: Clock,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._pipeline = pipeline
        self._database = database
        self._cluster = cluster
        self._clock = clock
        self._tell = tell
        self._lock = Lock()
        self._told: float | None = None

    def views_are_ours(self, queries: Queries) -> bool:
        """Whether the views are those of this pipeline, so that its SQL is what an insert meets."""
        return not other_views(queries, self._pipeline, self._database, self._cluster)

    def foreign(self, queries: Queries, error: QueryError | AccessRefused | ClickHouseGone) -> str:
        """As `foreign_views.of_error`; where nobody answers that, too, it says so."""
        try:
            return of_error(queries, self._pipeline, self._database, self._cluster, error)
        except ClickHouseGone as gone:
            return gone.message

    def find(
        self, rows: Mapping[int, bytes], ask: Ask, where: str, *, thorough: bool
    ) -> list[Thrown]:
        """Messages that an insert fails on, in ascending order.

        Args:
            rows: offset to row of the landing table, as `envelope` encodes it.
            where: the messages are, for the user.
            thorough: all of them, whatever that takes; else what is found with a few questions, and
                all only where that is nothing.

        Raises CannotAsk.
        """
        search = _Search(self._pipeline, rows, ask)
        found: list[Thrown] = []
        for look in (search.likely, search.all)[thorough:]:
            for each in look():
                found.append(each)
                so_far = f"{len(found):,} of {counted(len(rows), 'message')} so far"
                self._say(
                    f"{where}: the pipeline's SQL fails on {so_far}, which become dead letters; "
                    f"the last of them: {each.error}"
                )
            if found:
                break
        return sorted(found, key=lambda each: each.offset)

    def _say(self, text: str) -> None:
        with self._lock:
            now = self._clock.monotonic()
            if self._told is not None and now - self._told < EVERY:
                return
            self._told = now
        self._tell(text)


class _Search:
    """Of one batch."""

    def __init__(self, pipeline: Pipeline, rows: Mapping[int, bytes], ask: Ask) -> None:
        self._pipeline = pipeline
        self._source = questions.Source(rows, decoded=pipeline.is_decoded)
        self._ask = ask

    def likely(self) -> Iterator[Thrown]:
        """Those on which a column throws, and its twin says so."""
        left = self._source.offsets
        parts = [part for part in questions.parts(self._pipeline) if part.likely is not None]
        if len(parts) > MOST_TWINS:
            found = failing(parts, lambda group: self._any_fails(group, left))
            parts = [part for part, _ in found]
        for part in parts:
            classes = self._likely(part, left)
            accepted = self._accepted([offset for each in classes for offset in each])
            if accepted is None:
                continue
            wanted = frozenset(accepted)
            classes = [tuple(o for o in each if o in wanted) for each in classes]
            out = set()
            for each in self._of_part(part, [each for each in classes if each], certain=True):
                out.add(each.offset)
                yield each
            left = [offset for offset in left if offset not in out]

    def all(self) -> Iterator[Thrown]:
        """Every message that something throws on."""
        offsets = self._source.offsets
        accepted = self._accepted(offsets)
        if accepted is None:
            thrown = list(self._of_rules(offsets))
            yield from thrown
            out = {each.offset for each in thrown}
            accepted = self._accepted([each for each in offsets if each not in out])
        if accepted is None:
            raise CannotAsk  # it did not throw a moment ago
        yield from self._of_parts(accepted)

    def _accepted(self, offsets: Sequence[int]) -> list[int] | None:
        """None: a rule throws, or the parsing of the fields."""
        question = questions.deciding(self._pipeline, self._pipeline.rejects)
        found = [self._answer(question, group) for group in self._groups(offsets)]
        rows = [row for answer in found if not isinstance(answer, str) for row in answer]
        failed = any(isinstance(answer, str) for answer in found)
        return None if failed else [int(offset) for (offset,) in rows]

    def _of_rules(self, offsets: Sequence[int]) -> Iterator[Thrown]:
        rules = list(self._pipeline.rejects)
        every = questions.deciding(self._pipeline, rules)
        for offset, error in failing(offsets, lambda group: self._fails(every, group)):
            key = ""
            for name in rules:
                if self._fails(questions.deciding(self._pipeline, {name}), [offset]) is not None:
                    key = f"pipeline.rejects.{name!r}: "
                    rules.remove(name)
                    rules.insert(0, name)  # the next one throws by the same rule, most likely
                    break
            yield Thrown(offset, f"{key}{error}")

    def _of_parts(self, accepted: Sequence[int]) -> Iterator[Thrown]:
        """Of messages that no rule throws on or rejects."""
        left = list(accepted)
        parts = questions.parts(self._pipeline)
        for part, _ in failing(parts, lambda group: self._any_fails(group, accepted)):
            out: set[int] = set()
            for each in self._of_part(part, [(offset,) for offset in left]):
                out.add(each.offset)
                yield each
            left = [offset for offset in left if offset not in out]

    def _any_fails(self, parts: Sequence[Part], offsets: Sequence[int]) -> str | None:
        asked = [part.question for part in parts if not part.column]
        if columns := [part.column for part in parts if part.column]:
            asked.insert(0, questions.computed(self._pipeline, columns))
        for question in asked:
            if (error := self._fails(question, offsets)) is not None:
                return error
        return None

    def _of_part(
        self, part: Part, classes: Sequence[Class], *, certain: bool = False
    ) -> Iterator[Thrown]:
        """Args: certain: most of them fail."""

        def fails(group: Sequence[Class]) -> str | None:
            return self._fails(part.question, [each[0] for each in group])

        for each, error in failing(classes, fails, likely=certain):
            for offset in each:
                yield Thrown(offset, f"{part.key}: {error}", part.column)

    def _likely(self, part: Part, offsets: Sequence[int]) -> list[Class]:
        found: list[Class] = []
        if part.likely is not None:
            for group in self._groups(offsets):
                answer = self._answer(part.likely, group)
                if isinstance(answer, str):
                    return []
                found += [tuple(sorted(map(int, each))) for (each,) in answer]
        return sorted(found)

    def _fails(self, question: Question, offsets: Sequence[int]) -> str | None:
        for group in self._groups(offsets):
            answer = self._answer(
                lambda rows: f"SELECT sum(ignore(*)) FROM ({question(rows)})", group
            )
            if isinstance(answer, str):
                return answer
        return None

    def _answer(self, question: Question, offsets: Sequence[int]) -> Rows | str:
        return self._ask(question(self._source.of(offsets)), SETTINGS)

    def _groups(self, offsets: Sequence[int]) -> Iterator[list[int]]:
        """As many as go with one statement."""
        group: list[int] = []
        size = 0
        for offset in offsets:
            size += self._source.size(offset)
            if group and size > MOST_TEXT:
                yield group
                group, size = [], self._source.size(offset)
            group.append(offset)
        if group:
            yield group
