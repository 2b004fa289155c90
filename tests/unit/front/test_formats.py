"""The pieces of a result become one document."""

from __future__ import annotations

import pytest

from nrtctl.local.front.errors import EngineError
from nrtctl.local.front.formats import Joined, as_written, comes_in_pieces, media_type


def joined(output: str, *pieces: bytes) -> bytes:
    made = Joined(output)
    return b"".join(map(made.piece, pieces))


@pytest.mark.parametrize(
    ("output", "pieces", "whole"),
    [
        ("TSV", (b"1\n", b"2\n", b"\n3\n"), b"1\n2\n\n3\n"),
        ("TSVWithNames", (b"n\n1\n", b"n\n2\n"), b"n\n1\n2\n"),
        ("TSVWithNames", (b"n\n1\n", b"\n3\nn\n"), b"n\n1\n\n3\n"),
        (
            "CSVWithNamesAndTypes",
            (b'"n"\n"Int8"\n1\n', b'\n3\n"n"\n"Int8"\n'),
            b'"n"\n"Int8"\n1\n\n3\n',
        ),
        ("RowBinaryWithNames", (b"\1\1n\7", b"\1\1n\x08", b"\1\1n"), b"\1\1n\7\x08"),
        ("JSONEachRow", (b'{"n":1}\n', b'{"n":2}\n'), b'{"n":1}\n{"n":2}\n'),
        ("JSONCompactEachRow", (b"[1]\n", b"[2]\n"), b"[1]\n[2]\n"),
    ],
)
def test_a_head_stands_once_and_first(output: str, pieces: tuple[bytes, ...], whole: bytes) -> None:
    assert joined(output, *pieces) == whole


@pytest.mark.parametrize(
    ("output", "piece"),
    [("JSONEachRow", b'[\n{"n":1}\n]\n'), ("RowBinaryWithNamesAndTypes", b"\1\1n\4\7")],
)
def test_what_a_session_has_set_is_no_document_in_pieces(output: str, piece: bytes) -> None:
    assert joined(output, piece) == piece
    with pytest.raises(EngineError, match="cannot be sent as one document"):
        joined(output, piece, piece[:-1] + b"\x09")


@pytest.mark.parametrize(
    ("given", "name", "media"),
    [
        ("native", "Native", "application/octet-stream"),
        ("JSONEACHROW", "JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("csvwithnames", "CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("json", "json", "application/json; charset=UTF-8"),
        ("Pretty", "Pretty", "text/plain; charset=UTF-8"),
    ],
)
def test_a_format_in_any_letters_is_the_same(given: str, name: str, media: str) -> None:
    assert as_written(given) == name
    assert media_type(name) == media


def test_what_is_one_document_does_not_come_in_pieces() -> None:
    assert comes_in_pieces("JSONEachRow", b"SELECT 1", {"readonly": "1"})
    assert not comes_in_pieces("JSON", b"SELECT 1", {})
    named = "output_format_json_array_of_rows"
    assert not comes_in_pieces("JSONEachRow", b"SELECT 1", {named: "1"})
    assert not comes_in_pieces("JSONEachRow", f"SELECT 1 SETTINGS {named} = 1".encode(), {})
