"""How many leaf values of real event shapes can be strict fields.

`python -m benchmarks.strict_leaves`: the messages of `tests/contract/schema/shapes` that become
rows, and those of docs/sources. A leaf is a value that holds no others. Each place
whose values are of one kind, or null, becomes a typed field with its path, or is a name in the type
of the array that it lies in; the engine must store every message with them.
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.servers import ClickHouse
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.infer.guess import integer_type
from nrtctl.pipeline.infer.seen import ARRAY, BOOL, FLOAT, INTEGER, OBJECT, STRING, Seen
from nrtctl.pipeline.nested import MOST_LEVELS
from nrtctl.producer.drafting import ask
from nrtctl.producer.sample import Taken
from nrtctl.schema.trial import Trial
from nrtctl.stack.trial_engine import Own
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.doc_blocks import texts

SHAPES = Path("tests/contract/schema/shapes")
PAGES = Path("docs/sources")
EVENTS = {
    "activity_of_repositories", "changes_of_a_database", "edits_of_pages", "events_in_one_object",
    "events_of_a_cluster", "payments", "shipped_logs", "tracked_actions",
    "web_server_log",
}  # fmt: skip
"""Of the shapes, those that are events as programs send them, and not one kind of value."""


def samples() -> Iterator[tuple[str, list[bytes]]]:
    """Name and messages."""
    for path in sorted(SHAPES.glob("*.toml")):
        if path.stem in EVENTS:
            lines = tomllib.loads(path.read_text())["records"]
            rows = [row for row in lines["rows"].splitlines() if row]
            kept = zip(lines["input"].strip().splitlines(), rows, strict=True)
            yield path.stem, [line.encode() for line, row in kept if row.startswith("[")]
    pages = "\n".join(page.read_text() for page in sorted(PAGES.glob("*.md")))
    for heading, text in re.findall(r"^#+ (.+)\n((?:(?!^#+ ).*\n?)*)", pages, re.M):
        if found := re.search(r"```json\n(.*?)```\n", text, re.S):
            try:
                given = [orjson.dumps(each) for each in texts(found[1], float)]
            except (TypeError, ValueError):
                continue
            yield heading, [each for each in given if b'"nrtctl_message"' not in each]


def main() -> None:
    every = strict = 0
    with tempfile.TemporaryDirectory() as directory:
        front = ClickHouseFront(Path(directory) / "data")
        front.start()
        client = ClickHouseClient(ClickHouse(), url=front.url, password=front.password)
        try:
            for name, messages in samples():
                there, taken = _counted(client, messages)
                every, strict = every + there, strict + taken
                print(f"{name}: {taken} of {there}")
        finally:
            client.close()
            front.kill()
    print(f"{strict:,} of {every:,} leaf values are strict fields: {strict / every:.1%}")


def _counted(client: ClickHouseClient, messages: list[bytes]) -> tuple[int, int]:
    taken = Taken()
    for message in messages:
        taken.add((None, message, 0, ()))
    if not messages:
        return 0, 0
    fields: dict[str, Any] = {}
    strict: set[tuple[str, ...]] = set()
    _descend(taken.sample.root, (), fields, strict)
    values = Own(client)
    trial = Trial(values, Pipeline(fields=fields))
    ask(trial, values, taken.messages, 0)
    if trial.refused:
        raise SystemExit(f"{trial.examples}")
    leaves = [leaf for message in messages for leaf in _leaves(orjson.loads(message), ())]
    loose = [leaf for leaf in leaves if leaf not in strict]
    for leaf in dict.fromkeys(loose):
        print(f"  not strict: {'.'.join(leaf)}")
    return len(leaves), len(leaves) - len(loose)


def _descend(
    seen: Seen, path: tuple[str, ...], fields: dict[str, Any], strict: set[tuple[str, ...]]
) -> None:
    """Put a field for each place that is no object, and the places of its leaves."""
    for key, each in seen.keys.items():
        here = (*path, key)
        if set(each.kinds) == {OBJECT}:
            strict.add(here)  # where it is null
            _descend(each, here, fields, strict)
        elif kind := _kind(each, here, strict):
            field = {"type": kind, "from": list(here)}
            whole = kind.startswith(("Array", "Tuple"))
            fields[f"f{len(fields)}"] = field | ({"default": "empty"} if whole else {})


def _kind(seen: Seen, here: tuple[str, ...], strict: set[tuple[str, ...]], level: int = 0) -> str:
    """The type of a place; empty: its values are of several kinds, or lie too deep. Puts its leaves
    into `strict`."""
    kinds = set(seen.kinds)
    if level > MOST_LEVELS:
        return ""
    if kinds == {ARRAY}:
        inner = _kind(seen.element or Seen(), (*here, "[]"), strict, level + 1)
        strict.add(here)
        return f"Array({inner})" if inner else ""
    if kinds == {OBJECT}:
        parts = {key: _kind(e, (*here, key), strict, level + 1) for key, e in seen.keys.items()}
        listed = ", ".join(f"`{key}` {kind}" for key, kind in parts.items() if kind)
        return f"Tuple({listed})" if listed else ""
    if len(kinds) > 1 and not kinds <= {INTEGER, FLOAT}:
        return ""
    strict.add(here)
    if kinds == {INTEGER}:
        return f"Nullable({integer_type(seen.low or 0, seen.high or 0, least=64)})"
    of = {STRING: "String", BOOL: "Bool", FLOAT: "Float64"}
    return f"Nullable({of.get(next(iter(kinds - {INTEGER}), STRING), 'String')})"


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each, (*path, "[]"))
    else:
        yield path


if __name__ == "__main__":
    main()
