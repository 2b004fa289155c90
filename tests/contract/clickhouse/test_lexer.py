"""The front's lexer cuts a text where the engine's own does.

The long form: `python -m tests.contract.clickhouse.test_lexer 200000 SEED`, against an engine of
its own in a temporary directory.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from nrtctl.local.front.lexer import Kind, Token, Unreadable, every_token, tokens
from tests.plugins.clickhouse_front import ClickHouseFront

KINDS = {
    "BareWord": Kind.WORD, "QuotedIdentifier": Kind.QUOTED, "StringLiteral": Kind.STRING,
    "HereDoc": Kind.HEREDOC, "Number": Kind.NUMBER, "Whitespace": Kind.SPACE,
    "Comment": Kind.COMMENT,
}  # fmt: skip
TEXT = r""" ' " ` \ $ $$ $a$ /* */ -- // # #! \x41 '' `` "" ‘ ’ “ ” − ( ) [ ] { } . .. , ; : :: |
|| |> & ~ ~* !~ ! != = == < <= <> <=> > >= ? ^ @ @@ + - -> * / % \G 0 1 12 1_0 _1 __ 0x1f 0x 0xg 0b1
0b2 0X1.8p-1 1e5 1e 1.e .1 .e5 1p5 e p x _ a$b file INTO OUTFILE é х x' X'41' b' B'01' N' """
PIECES = [piece.encode() for piece in TEXT.split()]
PIECES += [bytes([code]) for code in (0, 9, 10, 11, 12, 13, 28, 31, 32, 127, 128, 0xC2, 0xE2, 0xFF)]
PIECES += ["$\u00a0$".encode()]
PIECES += [chr(code).encode() for code in (0x85, 0xA0, 0x1680, 0x180E, 0x200B, 0x3000, 0xFEFF)]

Cut = list[tuple[int, int, Kind | None]]


def random_text(source: random.Random) -> bytes:
    return b"".join(
        source.choice(PIECES) if source.random() < 0.95 else source.randbytes(2)
        for _ in range(source.randrange(1, 14))
    )


def ours(text: bytes) -> Cut:
    cut = read(text, every_token)
    between = (Kind.SPACE, Kind.COMMENT)
    assert read(text, tokens) == [each for each in cut if each[2] not in between], text
    return joined(cut)


def read(text: bytes, reader: Callable[[bytes], Iterable[Token]]) -> Cut:
    cut: Cut = []
    try:
        cut.extend((token.start, token.end, token.kind) for token in reader(text))
    except Unreadable as error:
        cut.append((error.at, 0, None))
    return cut


def theirs(tokens: Iterable[tuple[int, int, str]]) -> Cut:
    cut: Cut = []
    for begin, end, name in tokens:
        if name.startswith("Error"):
            cut.append((begin, 0, None))
            break
        cut.append((begin, end, KINDS.get(name, Kind.SIGN)))
    return joined(cut)


def joined(cut: Cut) -> Cut:
    """White space that is cut into several counts as one."""
    found: Cut = []
    for begin, end, kind in cut:
        if found and kind is Kind.SPACE is found[-1][2]:
            found[-1] = (found[-1][0], end, kind)
        else:
            found.append((begin, end, kind))
    return found


def compare(ask: Callable[[str], str], texts: list[bytes]) -> None:
    hexes = ", ".join(f"'{text.hex()}'" for text in texts)
    sql = f"SELECT tokenizeQuery(unhex(arrayJoin([{hexes}]))) FORMAT JSONCompactEachRow"
    lines = ask(sql).splitlines()
    assert len(lines) == len(texts)
    for text, line in zip(texts, lines, strict=True):
        (cut,) = json.loads(line)
        wanted = theirs((int(each["begin"]), int(each["end"]), each["type"]) for each in cut)
        assert ours(text) == wanted, text


@pytest.mark.parametrize("seed", range(4))
def test_random_texts(clickhouse_front: ClickHouseFront, seed: int) -> None:
    source = random.Random(seed)
    compare(clickhouse_front.sql, [random_text(source) for _ in range(2500)])


def test_white_space_of_every_code_point(clickhouse_front: ClickHouseFront) -> None:
    """Which characters are white space, of the whole of Unicode's first plane."""
    codes = [code for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000]
    for begin in range(0, len(codes), 8000):
        compare(
            clickhouse_front.sql,
            [f"a{chr(code)}b".encode() for code in codes[begin : begin + 8000]],
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        front = ClickHouseFront(Path(directory))
        front.start()
        try:
            made = random.Random(int(sys.argv[2]))
            for _ in range(int(sys.argv[1]) // 2500):
                compare(front.sql, [random_text(made) for _ in range(2500)])
        finally:
            front.stop()
