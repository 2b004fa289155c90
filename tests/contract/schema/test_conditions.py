"""Conditions on messages: `peek` and the views of a pipeline say the same of each."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from nrtctl.errors import ConfigError
from nrtctl.pipeline.condition import (
    All,
    Condition,
    Either,
    Equal,
    IsNull,
    Like,
    Matches,
    Message,
    Not,
    Order,
    verdict,
)
from nrtctl.pipeline.fields import Source
from nrtctl.schema.condition_sql import sql_of
from nrtctl.store.envelope import Headers, row_encoder
from nrtctl.store.questions import Source as Rows
from tests.plugins.pipeline_engine import Engine

MESSAGES = 400
CONDITIONS = 240
AT_ONCE = 40
"""Conditions in one statement."""

SCALARS: list[Any] = [
    "order", "Order", "", "5", "5.5", "true", "null", "[1]", "{}", "a%b", "a_b", "a\\b", "ä", "ABC",
    "line\nbreak", "it's", 0, 1, -1, 5, 5.0, 5.5, -0.0, 1e300, 2**53, 2**53 + 1, -(2**63), 2**63,
    2**64 - 1, 2**64, 10**30, True, False, None,
]  # fmt: skip
RAW = [
    b"", b"x", b"{", b"5", b'"order"', b"null", b"[]", b'[{"a":5},"order"]', b'{"a":NaN}',
    b'{"a":1e400}', b'{"a":5}{"a":6}', b'{"a":5} ', b'{"a":"\\ud800"}', b'{"a":"\\ud83d\\ude00"}',
    b'{"a":1,"a":"order"}', b'\xff', b'{"a":"\xff"}', b'\xef\xbb\xbf{"a":5}', b'{"a":-1e-5}',
    b'{"a":5.0}', b'{"a":05}', b'{"a":"\t"}', None,
]  # fmt: skip
PATHS: list[tuple[str | int, ...]] = [
    ("a",), ("b",), ("o", "a"), ("o", "x y"), ("l", 0), ("l", -1), ("l", 1, "a"), ("o", 0), (0,),
    (0, "a"), ("a", "b"), ("missing",),
]  # fmt: skip
PATTERNS = ["order", "^o", "r$", "[0-9]+", "^$", "a.b", "(?i)ORDER", "\\w+", "é|ä", "e.b"]
LIKES = ["order", "o%", "%r", "_rder", "%", "a\\%b", "a\\_b", "a_b", "a\\\\b", "_", "%e%b%", ""]


def message(random: Random) -> bytes | None:
    if random.random() < 0.15:
        return random.choice(RAW)
    found: dict[str, Any] = {}
    for key in ("a", "b"):
        if random.random() < 0.85:
            found[key] = random.choice(SCALARS)
    if random.random() < 0.7:
        found["o"] = {"a": random.choice(SCALARS), "x y": random.choice(SCALARS)}
    if random.random() < 0.7:
        found["l"] = [random.choice(SCALARS), {"a": random.choice(SCALARS)}]
    return json.dumps(found, ensure_ascii=random.random() < 0.5).encode()


def key_and_headers(random: Random) -> tuple[bytes | None, Headers]:
    def text() -> bytes | None:
        given = random.choice(SCALARS)
        return None if given is None else str(given).encode()

    return text(), [("h", text()) for _ in range(random.choice([0, 1, 1, 2]))]


def condition(random: Random, depth: int = 0) -> Condition:
    kind = random.random()
    if depth < 3 and kind < 0.35:
        parts = tuple(condition(random, depth + 1) for _ in range(random.randint(2, 3)))
        return All(parts) if random.random() < 0.5 else Either(parts)
    if depth < 3 and kind < 0.5:
        return Not(condition(random, depth + 1))
    source = Source(path=random.choice(PATHS))
    if random.random() < 0.15:
        source = random.choice([Source(record="key"), Source(record="header", header="h")])
    choice = random.randrange(6)
    wanted = [each for each in SCALARS if each is not None]
    if choice == 0:
        return IsNull(source)
    if choice == 1:
        return Like(source, random.choice(LIKES))
    if choice == 2:
        return Matches(source, random.choice(PATTERNS))
    if choice == 3:
        ordered = [each for each in wanted if not isinstance(each, bool)]
        return Order(source, random.choice(["<", "<=", ">", ">="]), random.choice(ordered))
    return Equal(source, tuple(random.sample(wanted, random.choice([1, 1, 2, 4]))))


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(each, marks=pytest.mark.long) for each in range(1, 4))]
)
def test_views_and_peek_say_the_same(engine: Engine, seed: int) -> None:
    random = Random(seed)
    sent = [(message(random), *key_and_headers(random)) for _ in range(MESSAGES)]
    asked = [condition(random) for _ in range(CONDITIONS)]
    encode = row_encoder("t", 1, 0)
    rows = Rows({n: encode(n, 1, key, value, h) for n, (value, key, h) in enumerate(sent)})
    expected = [Message.of(value, key, headers or ()) for value, key, headers in sent]
    seen = set()
    for first in range(0, CONDITIONS, AT_ONCE):
        some = asked[first : first + AT_ONCE]
        answers = engine.client.query(
            f"SELECT _offset, {', '.join(map(sql_of, some))} FROM {rows.of(rows.offsets)}",
            settings={"max_query_size": 2**24, "short_circuit_function_evaluation": "enable"},
        )
        assert len(answers) == MESSAGES
        for offset, *found in answers:
            for each, answer in zip(some, found, strict=True):
                right = verdict(each, expected[offset])
                said = None if answer is None else bool(answer)
                assert said is right, f"{sent[offset]}\n{each}\n{sql_of(each)}"
                seen.add(right)
    assert seen == {True, False, None}


@pytest.mark.parametrize("pattern", ["(?!x)y", r"(a)\1"])
def test_a_pattern_that_clickhouse_does_not_know_is_refused(engine: Engine, pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"pipeline\.when: ClickHouse does not accept"):
        engine.up(fields={"a": "String"}, when=f"a ~ '{pattern}'")
