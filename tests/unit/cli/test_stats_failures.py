"""What `stats --once` ends with where several pipelines have something to say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from nrtctl.cli.stats_command import _as_one, _by_pipeline, warn
from nrtctl.errors import CheckFailed, ConnectError, NrtctlError, QueryError
from nrtctl.stats.snapshot import Problem
from tests.unit.stats.example import SNAPSHOT


def test_what_all_say_is_said_once_and_what_some_say_with_their_names() -> None:
    said = [("a", "Kafka is gone"), ("a", "no table"), ("b", "Kafka is gone"), ("c", "no table")]
    assert _by_pipeline([*said, ("c", "Kafka is gone")], 3) == ["Kafka is gone", "a, c: no table"]
    assert _by_pipeline([("", "no table")], 1) == ["no table"]


def test_the_first_failure_gives_the_exit_code_and_a_condition_is_said_beside_it() -> None:
    condition = CheckFailed("b: lag_records > 0: it is 3")
    assert _as_one({}, condition, 2) is condition
    assert _as_one({}, None, 2) is None
    unanswered: dict[str, list[NrtctlError]] = {
        "a": [ConnectError("Kafka is gone", hint="start it")],
        "c": [QueryError("no table", 60)],
    }
    for found in (_as_one(unanswered, condition, 3), _as_one(unanswered, None, 3)):
        assert found is not None
        assert (found.exit_code, found.hint) == (3, "start it")
        assert found.message.splitlines()[:2] == ["a: Kafka is gone", "c: no table"]
    assert str(_as_one(unanswered, condition, 3)).endswith("\nb: lag_records > 0: it is 3")


def test_a_problem_is_said_once_whatever_numbers_are_in_it() -> None:
    said: list[str] = []
    session: Any = SimpleNamespace(say=SimpleNamespace(warn=said.append, note=said.append))
    before: list[str] = []
    for elapsed in ("2000.1", "2000.2", None, "2000.3"):
        problem = Problem("metrics", f"metric x: after {elapsed} ms", None, False)
        errors = [] if elapsed is None else [problem]
        before = warn(session, {"": replace(SNAPSHOT, errors=errors)}, before)
    assert said == [
        "metric x: after 2000.1 ms", "all sources answer again", "metric x: after 2000.3 ms",
    ]  # fmt: skip
