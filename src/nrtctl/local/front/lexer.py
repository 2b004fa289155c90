"""A statement's tokens, exactly as the engine's own lexer cuts them. Pure; used by `statement`.

What reads a statement differently from the engine can be passed by. So the two are held together
by a test over random texts: tests/contract/clickhouse/test_lexer.py asks the engine's
`tokenizeQuery`.
Source: https://github.com/ClickHouse/ClickHouse, src/Parsers/Lexer.cpp,
src/Common/StringUtils/StringUtils.h (white space in UTF-8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from mmap import mmap
from typing import NamedTuple


class Kind(Enum):
    """What a token is; of signs there is one kind."""

    WORD = "word"
    QUOTED = "quoted identifier"
    STRING = "string"
    HEREDOC = "heredoc"
    NUMBER = "number"
    SIGN = "sign"
    SPACE = "white space"
    COMMENT = "comment"


class Token(NamedTuple):
    """`start` is a byte of the text; `word` is a bare word in capitals, empty for other tokens."""

    kind: Kind
    text: bytes
    start: int
    word: bytes = b""

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class Unreadable(Exception):
    """The engine would not read it either; `at` is the byte where it stops."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(f"{why} at byte {at}")
        self.at = at


_SPACE = (
    rb"(?:[ \t\n\r\f\v]|\xc2[\x85\xa0]|\xe1\xa0\x8e|\xe2\x80[\x80-\x8d\xa8\xa9\xaf]"
    rb"|\xe2\x81[\x9f\xa0]|\xe3\x80\x80|\xef\xbb\xbf)+"
)
_DIGITS, _HEX = rb"[0-9]+(?:_[0-9]+)*", rb"[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*"
_EXPONENT = rb"(?:[eE](?=.)(?:[+-](?=.))?(?:%b)?)?" % _DIGITS
_NUMBER = (
    rb"0[xX]%(hex)b(?:\.(?:%(hex)b)?)?(?:[pP](?=.)(?:[+-](?=.))?(?:%(ten)b)?)?"
    rb"|(?:0[bB](?=[01]))?%(ten)b(?:\.(?:%(ten)b)?)?%(exponent)b"
) % {b"hex": _HEX, b"ten": _DIGITS, b"exponent": _EXPONENT}
_QUOTED = rb"(?:[^%(sign)b\\]|\\.|%(sign)b%(sign)b)*+%(sign)b"
_PLAIN = re.compile(
    rb"(?P<SPACE>%(space)b)"
    rb"|(?P<COMMENT>(?:--|//|\#[ !])[^\n]*)"
    rb"|(?P<STRING>'%(single)b|[xX]'[0-9a-fA-F]*'|[bB]'[01]*'|\xe2\x80\x98(?:(?!\xe2\x80\x99).)*+\xe2\x80\x99)"
    rb"|(?P<QUOTED>`%(back)b|\"%(double)b|\xe2\x80\x9c(?:(?!\xe2\x80\x9d).)*+\xe2\x80\x9d)"
    rb"|(?P<WORD>(?![xXbB]'.)[A-Za-z_][A-Za-z0-9_$]*)"
    rb"|(?P<SIGN>->|/(?![*/])|==|!=|<=>|<=|<>|>=|::|\|\||\|>|@@|~\*|!~\*|!~|\\G|\xe2\x88\x92"
    rb"|[-(),;\[\]{}+*%%=<>?^:@|~])"
    % {
        b"space": _SPACE,
        b"single": _QUOTED % {b"sign": b"'"},
        b"back": _QUOTED % {b"sign": b"`"},
        b"double": _QUOTED % {b"sign": b'"'},
    },
    re.DOTALL,
)
_NUMBERS = re.compile(_NUMBER, re.DOTALL)
_AFTER_DOT = re.compile(_DIGITS)
_FRACTION = re.compile(rb"\.(?:%b)?%b" % (_DIGITS, _EXPONENT), re.DOTALL)
_MORE_WORD = re.compile(rb"[A-Za-z0-9_]+")
_WORD_WITH_DOLLARS = re.compile(rb"[A-Za-z0-9_$]+")
_TAG = re.compile(rb"\$[A-Za-z0-9_]*\$")
_COMMENT_MARK = re.compile(rb"/\*|\*/")
_BETWEEN = re.compile(rb"(?:%b|(?:--|//|\#[ !])[^\n]*)*+" % _SPACE)
_KINDS = {kind.name: kind for kind in Kind}
_SPACES, _COMMENTS, _WORD, _SIGN = Kind.SPACE, Kind.COMMENT, Kind.WORD, Kind.SIGN
_MOST_DOLLARS = 1000
"""Tokens of one text that may begin with a dollar sign: each is looked for to the text's end."""
_ENDS_OPERAND = frozenset({b")", b"]"})


def tokens(source: bytes | mmap) -> Iterator[Token]:
    """What stands in the text, without white space and comments.

    Raises:
        Unreadable
    """
    return _tokens(source, between=False)


def every_token(source: bytes | mmap) -> Iterator[Token]:
    """The whole text, token by token. Raises Unreadable."""
    return _tokens(source, between=True)


def _tokens(source: bytes | mmap, *, between: bool) -> Iterator[Token]:
    """Args: between: with white space and comments."""
    at, size = 0, len(source)
    dollars = 0
    last: Token | None = None
    while at < size:
        if not between and (skipped := _BETWEEN.match(source, at)) is not None:
            at = skipped.end()
            if at == size:
                return
        token = _token(source, at, last)
        kind, text = token.kind, token.text
        if text[:1] == b"$":
            dollars += 1
            if dollars > _MOST_DOLLARS:
                raise Unreadable(f"more than {_MOST_DOLLARS} dollar signs begin a word", at)
        at += len(text)
        if kind is not _SPACES and kind is not _COMMENTS:
            last = token
            yield token
        elif between:
            yield token


def _token(source: bytes | mmap, at: int, last: Token | None) -> Token:
    found = _PLAIN.match(source, at)
    if found is not None:
        text, kind = found[0], _KINDS[found.lastgroup or ""]
        return Token(kind, text, at, text.upper() if kind is _WORD else b"")
    sign = source[at : at + 1]
    if sign.isdigit():
        return _number(source, at, last)
    if sign == b".":
        return _dot(source, at, last)
    if sign == b"$":
        return _dollar(source, at)
    if sign == b"/":
        return _comment(source, at)
    if sign in (b"'", b'"', b"`"):
        raise Unreadable(f"the quotation mark {sign.decode()} is not closed", at)
    raise Unreadable("what is there cannot be read", at)


def _number(source: bytes | mmap, at: int, last: Token | None) -> Token:
    dotted = last is not None and last.kind is _SIGN and last.text == b"."
    number = _matched(_AFTER_DOT if dotted else _NUMBERS, source, at)
    more = _MORE_WORD.match(source, at + len(number))
    if more is None:
        return Token(Kind.NUMBER, number, at)
    text = bytes(source[at : more.end()])
    if not _MORE_WORD.fullmatch(text):
        raise Unreadable("a number runs into a word", at)
    return Token(Kind.WORD, text, at, text.upper())


def _dot(source: bytes | mmap, at: int, last: Token | None) -> Token:
    operand = last is not None and (
        last.kind in {Kind.WORD, Kind.QUOTED, Kind.NUMBER} or last.text in _ENDS_OPERAND
    )
    if at > 0 and (operand or not source[at + 1 : at + 2].isdigit()):
        return Token(Kind.SIGN, b".", at)
    return Token(Kind.NUMBER, _matched(_FRACTION, source, at), at)


def _dollar(source: bytes | mmap, at: int) -> Token:
    """A heredoc, a word, or the sign alone."""
    tagged = _TAG.match(source, at)
    if tagged is not None:
        tag = tagged[0]
        end = source.find(tag, tagged.end())
        if end != -1:
            return Token(Kind.HEREDOC, bytes(source[at : end + len(tag)]), at)
    if not _MORE_WORD.match(source, at + 1):
        return Token(Kind.SIGN, b"$", at)
    text = _matched(_WORD_WITH_DOLLARS, source, at)
    return Token(Kind.WORD, text, at, text.upper())


def _matched(pattern: re.Pattern[bytes], source: bytes | mmap, at: int) -> bytes:
    found = pattern.match(source, at)
    if found is None:
        raise Unreadable("what is there cannot be read", at)
    return found[0]


def _comment(source: bytes | mmap, at: int) -> Token:
    """Comments between /* and */ may hold others."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(source, at):
        depth += 1 if mark[0] == b"/*" else -1
        if not depth:
            return Token(Kind.COMMENT, bytes(source[at : mark.end()]), at)
    raise Unreadable("a comment is not closed", at)
