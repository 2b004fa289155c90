"""What a request asks for: the statement, its settings, its parameters, where its data is.

Pure. Source: https://clickhouse.com/docs/interfaces/http. Used by `app`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap

RESERVED = frozenset(
    {
        "query", "user", "password", "database", "default_format", "query_id", "session_id",
        "session_timeout", "session_check", "compress", "decompress", "quota_key", "role",
        "client_protocol_version", "http_native_compression_disable_checksumming_on_decompress",
        "wait_end_of_query", "buffer_size", "enable_http_compression",
        "http_zlib_compression_level", "send_progress_in_http_headers",
        "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close",
        "http_write_exception_in_output_format",
    }
)  # fmt: skip
"""Parameters of the interface itself. Every other one is a setting, or a `param_…`."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(
    rb"(?P<space>\s+|--[^\n]*|\#[!\s][^\n]*|/\*.*?\*/)"
    rb"|(?P<word>[A-Za-z_][A-Za-z0-9_$]*)"
    rb"|(?P<quoted>'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|\"(?:[^\"\\]|\\.|\"\")*\")"
    rb"|(?P<heredoc>(?P<tag>\$[A-Za-z0-9_]*\$).*?(?P=tag))"
    rb"|(?P<number>[0-9][0-9A-Za-z_.]*)"
    rb"|(?P<sign>.)",
    re.DOTALL,
)
_OUTWARD = frozenset({b"file", b"python"})
"""Functions that the engine's grants do not cover: a file's content, an object of this process."""
_BEFORE_TABLE = frozenset({b"TABLE", b"VIEW", b"INTO", b"EXISTS", b"TO", b"."})
_CALL = re.compile(rb"file|python|\\", re.IGNORECASE)
_KILLED = re.compile(r"\bquery_id\s*=\s*('(?:[^'\\]|\\.)*')", re.IGNORECASE)
_BEFORE_DATA = re.compile(rb"[ \t\f]*(?:\r?\n)?")


class BadRequest(Exception):
    """The request is malformed, or asks for what is not served; `code` is ClickHouse's."""

    def __init__(self, text: str, code: int = 36, name: str = "BAD_ARGUMENTS") -> None:
        super().__init__(f"{text}. ({name})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Insert:
    """An insert whose data follows it.

    `head` is the statement before its SETTINGS, VALUES or FORMAT; `clause` its SETTINGS clause, or
    empty; `data_from` where the data begins in the text that was read.
    """

    head: str
    clause: str
    data_format: str
    data_from: int

    def reading(self, path: str) -> str:
        """The statement that takes its data from a file."""
        source = f"FROM INFILE {quoted(path)} COMPRESSION 'none'"
        return f"{self.head} {source} {self.clause} FORMAT {self.data_format}"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the words of a statement tell without the engine."""

    word: str
    output_format: str = ""
    insert: Insert | None = None


@dataclass(frozen=True, slots=True)
class Parameters:
    """The URL's parameters, sorted: settings of the engine, and values of `{name:Type}`."""

    settings: Mapping[str, str]
    values: Mapping[str, str]


def read_parameters(query: Mapping[str, str]) -> Parameters:
    """Raises BadRequest."""
    settings: dict[str, str] = {}
    values: dict[str, str] = {}
    for name, value in query.items():
        if name.startswith("param_"):
            values[name.removeprefix("param_")] = value
        elif name not in RESERVED:
            if not _IDENTIFIER.fullmatch(name):
                raise BadRequest(f"{name!r} is not a setting")
            settings[name] = value
    for name in ("compress", "decompress"):
        if query.get(name, "0") not in {"0", ""}:
            raise BadRequest(
                f"{name}={query[name]}: ClickHouse's own block compression is not served, "
                "use Content-Encoding and Accept-Encoding"
            )
    return Parameters(settings, values)


def read_shape(source: bytes) -> Shape:
    """Read a statement, up to the data of an insert.

    Args:
        source: the statement; of an insert, its beginning with as much data as there is.

    Raises:
        BadRequest: it reads or writes a file of this machine by INFILE, OUTFILE or a function.
    """
    tokens = _tokens(source)
    for kind, text, at in tokens:
        if kind == "word":
            word = text.upper().decode()
            if word == "INSERT":
                return Shape(word, insert=_insert(source, at, tokens))
            return Shape(word, _output_format(tokens))
        if text != b"(":
            break
    return Shape("")


def refuse_calls(source: bytes | mmap) -> None:
    """Raises BadRequest where the data of VALUES, which may hold expressions, calls `file`."""
    if _CALL.search(source):
        for _ in _tokens(source):
            pass


def _tokens(source: bytes | mmap) -> Iterator[tuple[str, bytes, int]]:
    """(kind, text, position) of what is neither space nor comment.

    Raises:
        BadRequest: a function is called that reads this machine's files or this process.
    """
    earlier = last = name = b""
    for found in _TOKEN.finditer(source):
        kind, text = found.lastgroup or "", found[0]
        if kind == "space":
            continue
        called = name and text == b"("
        name = b""
        if kind in {"word", "quoted"} and text[:1] != b"'":
            bare = text.strip(b'`"').lower()
            if (bare in _OUTWARD or b"\\" in bare) and last not in _BEFORE_TABLE:
                name = bare
                given = earlier if last == b"(" else last
                called = given.startswith((b"APPLY", b"ARRAY", b"MAP"))
        if called:
            raise BadRequest("the functions file and Python are not allowed", 497, "ACCESS_DENIED")
        earlier, last = last, text.upper()
        yield kind, text, found.start()


def _insert(source: bytes, start: int, tokens: Iterator[tuple[str, bytes, int]]) -> Insert | None:
    """The insert with data that begins at `start`; None for INSERT … SELECT."""
    depth = 0
    head_to = format_at = None
    for kind, text, at in tokens:
        if format_at is not None:
            if kind != "word":
                return None
            return _made(source, (start, head_to or format_at, format_at), text, at + len(text))
        if text in (b"(", b")"):
            depth += 1 if text == b"(" else -1
        elif text == b";":
            return None
        elif depth == 0 and kind == "word":
            word = text.upper()
            if word == b"FORMAT":
                format_at = at
            elif word == b"VALUES":
                return _made(source, (start, head_to or at, at), b"Values", at + len(text))
            elif word == b"SETTINGS":
                head_to = at
            elif word in (b"SELECT", b"WITH"):
                _output_format(tokens)
                return None
            elif word == b"INFILE":
                raise BadRequest("INFILE is not allowed", 78, "UNKNOWN_TYPE_OF_QUERY")
    return None


def _made(source: bytes, at: tuple[int, int, int], name: bytes, end: int) -> Insert:
    start, head_to, clause_to = at
    found = _BEFORE_DATA.match(source, end)
    data_from = found.end() if found else end
    if name != b"Values" and source[data_from : data_from + 1] == b";":
        if source[data_from + 1 :].strip():
            raise BadRequest("a semicolon stands before the data", 62, "SYNTAX_ERROR")
        data_from = len(source)
    head, clause = decoded(source[start:head_to]), decoded(source[head_to:clause_to])
    return Insert(head, clause, name.decode(), data_from)


def _output_format(tokens: Iterator[tuple[str, bytes, int]]) -> str:
    """The name in the FORMAT clause, empty where there is none. Raises BadRequest on OUTFILE."""
    depth = 0
    name = before = b""
    for kind, text, _ in tokens:
        word = text.upper() if kind == "word" else b""
        if text in (b"(", b")"):
            depth += 1 if text == b"(" else -1
        if before == b"INTO" and word == b"OUTFILE":
            raise BadRequest("INTO OUTFILE is not allowed", 358, "INTO_OUTFILE_NOT_ALLOWED")
        if before == b"FORMAT" and word not in (b"", b"FORMAT") and depth <= 0:
            name, before = text, b"name"
            continue
        if before == b"name" and word not in (b"SETTINGS", b"INTO") and text != b";":
            name = b""
        before = word
    return name.decode()


def kill_by_mark(sql: str) -> str:
    """KILL QUERY, so that it finds a query_id that the client chose: it is in log_comment."""
    return _KILLED.sub(r"(\g<0> OR Settings['log_comment'] = \1)", sql)


def decoded(data: bytes) -> str:
    """Raises BadRequest where it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("the statement is not UTF-8 text") from error


def identifier(name: str) -> str:
    """As ClickHouse reads it between backticks."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def quoted(text: str) -> str:
    """A string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
