"""What each output format makes of each kind of result, and what every command hands back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
from rich.text import Text

from nrtctl.cli.app import COMMANDS
from nrtctl.cli.common_options import SHARED
from nrtctl.cli.formats import FORMATS, Format, FormatName
from nrtctl.cli.lazy_group import Listing
from nrtctl.cli.results import (
    Block,
    Document,
    Drawing,
    Note,
    Raw,
    Result,
    Rows,
    Stream,
    Table,
    Warn,
)
from nrtctl.cli.session import Session
from nrtctl.errors import CheckFailed

TABLE = Table(("name", "rows"), [("a", 1), ("b", None)])
OBJECTS = [{"name": "a", "rows": 1}, {"name": "b", "rows": None}]
LINES = b'{"name":"a","rows":1}\n{"name":"b","rows":null}\n'


def session(format: str | None, **options: Any) -> Session:
    given: dict[str, Any] = {
        **dict.fromkeys(SHARED),
        "quiet": False,
        "verbose": False,
        "set": [],
        "color": "never",
    }
    return Session({**given, "output": format, **options})


def shown(
    capsys: pytest.CaptureFixture[str], format: str | None, result: Result
) -> tuple[str, str]:
    session(format).show(result)
    done = capsys.readouterr()
    return done.out, done.err


def words() -> Iterator[Block]:
    yield "stored 3 rows"
    yield Note("between")
    yield Warn("doubtful")
    yield TABLE
    yield Drawing(Text("drawn"))


def test_people_read_the_blocks_in_order_and_notes_are_beside_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, err = shown(capsys, None, Document({"rows": 3}, words()))
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["stored", "3", "rows"]
    assert lines[1] == ["name", "rows"]
    assert lines[3:] == [["a", "1"], ["b", "-"], ["drawn"]]
    assert err == "between\nwarning: doubtful\n"


@pytest.mark.parametrize(("format", "lines"), [("json", 3), ("jsonl", 1)])
def test_an_object_as_json_asks_for_no_words(
    capsys: pytest.CaptureFixture[str], format: str, lines: int
) -> None:
    blocks: Iterator[Block] = iter(["3 rows"])
    out, err = shown(capsys, format, Document({"rows": 3}, blocks))
    assert list(blocks) == ["3 rows"]
    assert json.loads(out) == {"rows": 3}
    assert len(out.splitlines()) == lines
    assert err == ""


def test_an_object_without_words_is_json_for_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "table", Document({"rows": 3})) == ('{\n  "rows": 3\n}\n', "")


@pytest.mark.parametrize("result", [Rows(TABLE), Rows(TABLE, ["other words"])])
def test_rows(capsys: pytest.CaptureFixture[str], result: Rows) -> None:
    assert json.loads(shown(capsys, "json", result)[0]) == OBJECTS
    lines = shown(capsys, "jsonl", result)[0].splitlines()
    assert [json.loads(line) for line in lines] == OBJECTS
    out = shown(capsys, "table", result)[0]
    assert (out == "other words\n") == (result.shown is not None)


def test_rows_that_the_server_writes(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    def shown(format: str, blocks: list[bytes]) -> bytes:
        session(format).show(Stream(lambda: blocks, lambda: [TABLE]))
        return capsysbinary.readouterr().out

    assert shown("jsonl", [LINES[:22], LINES[22:]]) == LINES
    assert json.loads(shown("json", [LINES[:22], LINES[22:]])) == OBJECTS
    assert shown("table", [b"never read"]).split() == [
        b"name", b"rows", *shown("table", []).split()[2:]
    ]  # fmt: skip
    assert shown("json", []) == b"[]\n"
    assert shown("jsonl", []) == b""
    assert shown("json", [b"1\t", b"2\n"]) == shown("jsonl", [b"1\t", b"2\n"]) == b"1\t2\n"


def test_a_stream_that_is_no_table_is_written_as_it_is(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    for format in ("table", "json", "jsonl"):
        session(format).show(Raw([b"a\t", b"b\n"]))
        assert capsysbinary.readouterr().out == b"a\tb\n"
    session("table").show(Stream(list, lambda: Raw([b"a\t", b"b\n"])))
    assert capsysbinary.readouterr().out == b"a\tb\n"


def test_an_error_in_the_middle_leaves_the_array_open(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Iterator[bytes]:
        yield LINES
        raise CheckFailed("gone")

    with pytest.raises(CheckFailed):
        session("json").show(Stream(broken, list))
    out = capsys.readouterr().out
    assert json.loads(out + "]") == OBJECTS


def test_one_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    for format, text in (("table", "3 rows\n\n"), ("json", '{"a": 3}\n'), ("jsonl", '{"a": 3}\n')):
        session(format).format().next(Document({"a": 3}, ["3 rows"]))
        assert capsys.readouterr().out == text


@pytest.mark.parametrize("format", list(FormatName))
def test_what_is_said_and_the_failure_come_after_the_result(
    capsys: pytest.CaptureFixture[str], format: FormatName
) -> None:
    said: list[Note | Warn] = [Note("by the way"), Warn("mind this")]
    with pytest.raises(CheckFailed, match="differs"):
        session(format).show(
            Document({"rows": 3}, ["3 rows"], said=said, failure=CheckFailed("differs"))
        )
    done = capsys.readouterr()
    assert "3" in done.out
    assert done.err == "by the way\nwarning: mind this\n"


def test_quiet_keeps_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    session(None, quiet=True).show(Document({}, words()))
    assert capsys.readouterr().err == "warning: doubtful\n"


def test_every_format_has_a_name_and_is_in_the_help() -> None:
    assert set(FORMATS) == set(FormatName)
    text = SHARED["output"].__metadata__[0].help
    assert all(name.value in text for name in FormatName)


def commands(listing: Listing) -> Iterator[str]:
    for _, where in listing.values():
        if isinstance(where, str):
            yield where
        else:
            yield from commands(where)


@pytest.mark.parametrize("where", sorted(commands(COMMANDS)))
def test_a_command_hands_back_what_it_found(where: str) -> None:
    from importlib import import_module

    module, _, name = where.partition(":")
    function = getattr(import_module(f"nrtctl.cli.{module}"), name)
    source = function.__annotations__["return"]
    if where in {"query_command:query", "dashboard_command:dashboard"}:  # they go on
        assert source == "None"
    else:
        assert source in {"Result", "Result | None"}
    assert "session" in get_type_hints(function)


class Cells(Format):
    """A format of its own, in one class: comma-separated."""

    about = "cells"

    def document(self, result: Document) -> None:
        self.rows(Rows(Table(list(result.data), [list(result.data.values())])))

    def rows(self, result: Rows) -> None:
        for row in (result.table.columns, *result.table.rows):
            self.out.text(",".join(map(str, row)))

    def stream(self, result: Stream) -> None:
        for block in result.lines():
            self.out.raw([block])


def test_a_format_more_is_one_class(capsys: pytest.CaptureFixture[str]) -> None:
    made = session(None)
    cells = Cells(made.out, made.say)
    cells.write(Document({"rows": 3, "ok": True}, words()))
    cells.write(Rows(TABLE, ["other words"]))
    cells.write(Stream(lambda: [LINES], list))
    out = capsys.readouterr().out
    assert out == "rows,ok\n3,True\nname,rows\na,1\nb,None\n" + LINES.decode()
