"""Shapes of messages that people have, each as its pipeline, the input, and every row or fate.

A file of `shapes/` has `[pipeline]` as a person writes it and, in `[records]`, `input`: a line a
message (or lines of `consume -o jsonl`, where the record's own parts matter), and `rows`: for each
of them what is stored, in the order of the fields and columns, or `reason:field` of a dead letter.
With `[file]` the input is the text of a file of that `name`, written in its `encoding`, with
`crlf`, `packed`, and read as `read` says.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from backports import zstd

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.infer import text
from nrtctl.pipeline.infer.draft import draft
from nrtctl.producer.drafting import tried, types_of_cells
from nrtctl.producer.sample import take
from nrtctl.producer.sources.files import Reading, Records, open_records
from nrtctl.schema.reasons import DUPLICATE_KEY, NOT_JSON, NULL_VALUE
from nrtctl.stack.trial_engine import Own
from tests.plugins.pipeline_engine import Engine

SHAPES = sorted(Path(__file__).with_name("shapes").glob("*.toml"))
NO_FIELDS_FAULT = {DUPLICATE_KEY, NOT_JSON, NULL_VALUE}
"""Of messages that no pipeline stores."""


def _twice(data: bytes) -> bytes:
    return gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])


PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip in two parts": _twice,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.long] if at % 3 else [])
        for at, path in enumerate(SHAPES)
    ],
)
def test_every_message_of_a_shape_is_what_its_user_wants(
    engine: Engine, path: Path, tmp_path: Path
) -> None:
    shape = tomllib.loads(path.read_text(encoding="utf-8"))
    engine.up(**shape["pipeline"])
    with records(shape, tmp_path, engine.pipeline) as found:
        count = engine.send_read(found)
    expected = [
        json.loads(line, parse_float=Decimal)
        for line in shape["records"]["rows"].splitlines()
        if line
    ]
    assert fates(engine, count) == expected


@pytest.mark.parametrize("path", SHAPES, ids=[path.stem for path in SHAPES])
def test_a_draft_from_a_shape_stores_all_that_can_be(
    client: ClickHouseClient, path: Path, tmp_path: Path
) -> None:
    shape = tomllib.loads(path.read_text(encoding="utf-8"))
    with records(shape, tmp_path) as found:
        taken = take(found, is_cells=lambda: {each.kind for each in found.found} <= {"csv", "tsv"})
    drafted = tried(draft(taken.sample, source="s", topic="t", table="t"), taken, Own(client))
    assert drafted.trial is not None
    assert drafted.trial.stored > 0
    assert {*drafted.trial.reasons} <= NO_FIELDS_FAULT
    written = tomllib.loads(text.written(drafted.draft, ""))
    assert written["pipeline"] == drafted.draft.pipeline()


def records(shape: Mapping[str, Any], directory: Path, pipeline: Pipeline | None = None) -> Records:
    """The messages of its file. Without a pipeline, cells of CSV are text."""
    given = shape.get("file", {"name": "input.jsonl"})
    data = shape["records"]["input"]
    if given.get("crlf"):
        data = data.replace("\n", "\r\n")
    packed = PACKED.get(given.get("packed", ""), bytes)
    path = directory / given["name"]
    path.write_bytes(packed(data.encode(given.get("encoding", "utf-8"))))
    types = types_of_cells(pipeline) if pipeline else None
    reading = Reading(**given.get("read", {})).checked()
    return open_records([str(path)], reading, types=types)


def fates(engine: Engine, count: int) -> list[Any]:
    names = ", ".join(f"`{name}`" for name in [*engine.pipeline.fields, *engine.pipeline.columns])
    rows = engine.query(
        f"SELECT _offset, toJSONString(tuple({names})) FROM {{db}}.{engine.pipeline.table}",
        output_format_json_quote_denormals=1,
        output_format_json_quote_64bit_integers=0,
        output_format_json_named_tuples_as_objects=0,
    )
    found: dict[int, Any] = {at: json.loads(row, parse_float=Decimal) for at, row in rows}
    for at, (reason, field) in engine.rejected().items():
        assert at not in found
        found[at] = f"{reason}:{field}"
    return [found[at] for at in range(count)]


def test_files_of_every_form_hold_the_same_rows(engine: Engine, tmp_path: Path) -> None:
    lines = b'{"id":1,"name":"ab"}\n{"id":2,"name":"\xc3\xa9"}\n'
    listed = b"[" + b",\n".join(lines.splitlines()) + b"]"
    table = pyarrow.Table.from_pylist([{"id": 1, "name": "ab"}, {"id": 2, "name": "é"}])
    pyarrow.parquet.write_table(table, tmp_path / "p.parquet")
    forms = {
        "from-windows.jsonl": b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n"),
        "from-powershell.jsonl": lines.decode().encode("utf-16"),
        "utf16be": lines.decode().encode("utf-16-be"),
        "array.json": listed,
        "one-line.json": listed.replace(b"\n", b""),
        "indented.json": json.dumps(json.loads(listed), indent=2).encode(),
        "no_ending": gzip.compress(lines),
        "wrong-ending.gz": lines,
        **{f"packed.{number}": pack(lines) for number, pack in enumerate(PACKED.values())},
        "semicolons.csv": "id;name\n1;ab\n2;é\n".encode("utf-8-sig"),
        "tabs.txt": "id\tname\n1\tab\n2\té\n".encode(),
    }
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
    engine.up(fields={"id": "UInt8", "name": "String"})
    with open_records([str(tmp_path)], types=types_of_cells(engine.pipeline)) as found:
        count = engine.send_read(found)
    assert fates(engine, count) == [[1, "ab"], [2, "é"]] * (len(forms) + 1)


@pytest.mark.parametrize("count", [100, pytest.param(300, marks=pytest.mark.long)])
def test_many_fields(engine: Engine, count: int) -> None:
    """In types that take turns."""
    of = ["Nullable(String)", "Nullable(Int64)", "Float64", "LowCardinality(String)", "Bool"]
    engine.up(
        fields={f"f{at}": of[at % 5] for at in range(count)}
        | {f"t{at}": "Nullable(DateTime64(3, 'UTC'))" for at in range(30)}
    )
    values = [None, 2**53 + 1, 0.125, "few", True] * (count // 5)
    times = [f"2023-04-05T06:07:08.{at:03}Z" for at in range(30)]
    message = {f"f{at}": value for at, value in enumerate(values)}
    message |= {f"t{at}": time for at, time in enumerate(times)}
    wrong = {**message, f"f{count - 1}": "x"}
    engine.send(json.dumps(message).encode(), json.dumps(wrong).encode())
    stored = [time.replace("T", " ")[:-1] for time in times]
    assert fates(engine, 2) == [[*values, *stored], f"wrong type:f{count - 1}"]
