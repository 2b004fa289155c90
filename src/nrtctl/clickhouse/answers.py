"""What ClickHouse's HTTP answers say: errors as a person reads them, and rows until one comes.

Called by `client`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from nrtctl.clickhouse.error_codes import failed
from nrtctl.errors import QueryError

MAX_LENGTH = 1000
_ENVELOPE = re.compile(r"^.*?(?:DB::)?Exception: ", re.DOTALL)
_TAIL = re.compile(r"\s*\(version [^)]*\)|\s*\(for url \S+\)|\s*\(from \S+ at \S+\)")
_EXPECTED = re.compile(r"\. Expected one of: .*?(?=\. \(|$)", re.DOTALL)

_STATEMENT = re.compile(
    r"(Unknown table expression identifier '[^']*'(?:\. Maybe you meant [^?]*\?)?)(\.?) in scope .*"
    r"( \([A-Z_]+\))$",
    re.IGNORECASE,
)
"""The statement, where the name of the table says it all."""

_NETWORK = re.compile(
    r"\[Errno -?\d+\] ([^\"')(]+)|(?:Connection to \S+|Read) timed out|Remote end closed[\w ]+"
    r"|Connection broken|\[SSL: [^]]+\] [^(\"']+"
)


def plain(text: str) -> str:
    """One line: what the server said, without code, version, address and lists of keywords.

    Of an error of the network, its cause.
    """
    text = " ".join(_TAIL.sub("", text).split())
    if "Exception: " in text:
        text = _ENVELOPE.sub("", text, count=1)
    elif (cause := _NETWORK.search(text)) is not None:
        return (cause[1] or cause[0]).strip()
    text = _STATEMENT.sub(r"\1\2\3", _EXPECTED.sub("", text))
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"


def unbroken(pieces: Iterable[bytes], tag: bytes = b"") -> Iterator[bytes]:
    """The pieces of an answer whose lines are JSON, regrouped into blocks of whole lines.

    Servers write an error that meets them in the middle into the answer: as lines between
    `__exception__` and the tag of the header X-ClickHouse-Exception-Tag (since 25.11), or, before,
    as a line of plain text.

    Raises:
        QueryError: at such a line; what came before it has been yielded.
    """
    rest, pieces = b"", iter(pieces)
    for piece in pieces:
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        block = whole + newline
        if b"__exception__" in block or b"Code: " in block:
            good, error = _split(block)
            if error:
                yield good
                raise _broken(error + rest + b"".join(pieces), tag)
        if block:
            yield block
    if rest:
        if not _is_json(rest):
            raise _broken(rest, tag)
        yield rest + b"\n"


def _split(block: bytes) -> tuple[bytes, bytes]:
    """Before and from the first line that is no row."""
    at = 0
    for line in block.splitlines(keepends=True):
        if not _is_json(line) and line.strip():
            return block[:at].rstrip(b"\r\n") + b"\n" if at else b"", block[at:]
        at += len(line)
    return block, b""


def _is_json(line: bytes) -> bool:
    return line[:1] in (b"{", b"[")


def _broken(text: bytes, tag: bytes) -> QueryError:
    words = text.decode(errors="replace").replace("__exception__", " ")
    if tag:
        words = re.sub(rf"(?:\d+ )?{re.escape(tag.decode())}", " ", words)
    code = re.search(r"Code: (\d+)", words)
    said = plain(words.strip()) or "ClickHouse broke off its answer"
    return failed(said, int(code[1]) if code else None)
