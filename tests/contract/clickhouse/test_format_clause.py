"""Which word of a statement names its format: the front finds the one that the engine's own parser
finds, whatever columns and tables are called."""

from __future__ import annotations

import json
import random
import re

import pytest

from nrtctl.local.front.outward import Refused
from nrtctl.local.front.statement import read_shape
from tests.plugins.clickhouse_front import ClickHouseFront

NAMES = ("format", "FORMAT", "a", "`format`", '"format"', "f.format", "format.a", "settings")
NONE_REFUSED = Refused(frozenset(), frozenset())
CLAUSE = re.compile(r" FORMAT (JSON|CSV)(?: SETTINGS max_threads = 2)?$")


def expression(source: random.Random, depth: int = 0) -> str:
    def name() -> str:
        return source.choice(NAMES)

    def inner() -> str:
        return expression(source, depth + 1)

    if depth > 2:
        return name()
    return source.choice(
        (
            name,
            name,
            lambda: f"{inner()} {source.choice(('=', '<', 'AND', 'OR', 'IN', 'LIKE'))} {inner()}",
            lambda: f"({inner()})",
            lambda: f"CASE WHEN {inner()} THEN {inner()} ELSE {inner()} END",
            lambda: f"{name()} IS NULL",
            lambda: f"{name()} BETWEEN 1 AND 2",
            lambda: "'FORMAT CSV'",
        )
    )()


def statement(source: random.Random) -> str:
    def maybe(share: float, text: str) -> str:
        return text if source.random() < share else ""

    name, more = source.choice(NAMES), expression(source)
    parts = (
        f"SELECT {expression(source)}",
        maybe(0.3, f" AS {source.choice(NAMES[:4])}"),
        maybe(0.3, f", {name}"),
        maybe(0.8, f" FROM {name}{source.choice(('', ' AS x', ' f', ' FINAL'))}"),
        maybe(0.3, f" WHERE {more}"),
        maybe(0.3, f" GROUP BY {more}"),
        maybe(0.5, f" ORDER BY {more}{source.choice(('', ' DESC', ' ASC NULLS FIRST'))}"),
        maybe(0.2, f" LIMIT 1 BY {name}"),
        maybe(0.2, " SETTINGS max_threads = 1"),
        maybe(0.5, f" {source.choice(('FORMAT', 'format'))} {source.choice(('JSON', '`CSV`'))}"),
        maybe(0.2, " SETTINGS max_threads = 2"),
        source.choice(("", "", ";", " ; -- x", " -- FORMAT JSON")),
    )
    return "".join(parts)


@pytest.mark.parametrize("seed", range(2))
def test_the_format_is_the_one_that_the_engine_reads(
    clickhouse_front: ClickHouseFront, seed: int
) -> None:
    source = random.Random(seed)
    texts = [statement(source) for _ in range(500)]
    listed = ", ".join("'{}'".format(text.replace("'", "\\'")) for text in texts)
    lines = clickhouse_front.sql(
        f"SELECT formatQuerySingleLineOrNull(arrayJoin([{listed}])) FORMAT JSONCompactEachRow"
    ).splitlines()
    read = 0
    for text, line in zip(texts, lines, strict=True):
        (known,) = json.loads(line)
        if known is not None:
            found = CLAUSE.search(known)
            wanted = found[1] if found is not None else ""
            assert read_shape(text.encode(), NONE_REFUSED).output_format == wanted, text
            read += 1
    assert read > 200
