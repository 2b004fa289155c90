"""What a request asks for: the statement, its settings, its parameters, where its data is.

Pure. Source: https://clickhouse.com/docs/interfaces/http. Used by `app`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mmap import mmap

from nrtctl.local.front.lexer import Kind, Token, Unreadable, tokens
from nrtctl.local.front.outward import NOT_ALLOWED, Refused

RESERVED = frozenset(
    {
        "query", "user", "password", "database", "default_format", "query_id", "session_id",
        "session_timeout", "session_check", "close_session", "stacktrace", "compress",
        "decompress", "quota_key", "role",
        "client_protocol_version", "http_native_compression_disable_checksumming_on_decompress",
        "wait_end_of_query", "buffer_size", "enable_http_compression",
        "http_zlib_compression_level", "send_progress_in_http_headers",
        "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close",
        "http_write_exception_in_output_format",
    }
)  # fmt: skip
"""Parameters of the interface itself. Every other one is a setting, or a `param_…`."""

_WITHOUT_RESULT = frozenset(
    {
        "ALTER", "ATTACH", "BEGIN", "COMMIT", "CREATE", "DELETE", "DETACH", "DROP", "EXCHANGE",
        "GRANT", "INSERT", "MOVE", "OPTIMIZE", "RENAME", "REPLACE", "REVOKE", "ROLLBACK", "SET",
        "SYSTEM", "TRUNCATE", "UNDROP", "UPDATE", "USE",
    }
)  # fmt: skip

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BEFORE_NAME = frozenset(
    {b"TABLE", b"VIEW", b"INTO", b"EXISTS", b"TO", b".", b"INDEX", b"PROJECTION", b"CONSTRAINT"}
)
"""Words after which a name with a parenthesis names a table or the like, not a function."""
_ASKING = frozenset({b"DESCRIBE", b"DESC"})
"""Words after which TABLE may stand before a table function."""
_BEFORE_TABLE = frozenset({b"INTO", b"TABLE", b"FUNCTION", b"."})
"""What the name of the table of an insert comes after, whatever word that is."""
_BEFORE_COLUMN = frozenset(
    {
        b"SELECT", b"DISTINCT", b"BY", b"FROM", b"JOIN", b"WHERE", b"AS", b"AND", b"OR", b"NOT",
        b",", b".", b"=", b"+", b"-", b"<", b">", b"||",
    }
)  # fmt: skip
"""What a column or a table that is called `format` comes after, and a FORMAT clause never does."""
_NO_FORMAT = frozenset(
    {
        b"", b"FORMAT", b"ASC", b"ASCENDING", b"DESC", b"DESCENDING", b"FINAL", b"THEN", b"ELSE",
        b"END", b"AS", b"AND", b"OR", b"NOT", b"IN", b"IS", b"LIKE", b"ILIKE", b"BETWEEN",
    }
)  # fmt: skip
"""What may come after a column or table of that name, and is no name of a format."""
_MAKING = frozenset({b"CREATE", b"ATTACH", b"REPLACE"})
_WORD, _QUOTED, _STRING = Kind.WORD, Kind.QUOTED, Kind.STRING
_HEREDOC, _SIGN = Kind.HEREDOC, Kind.SIGN
_KILLED = re.compile(rb"\bquery_id\s*=\s*('(?:[^'\\]|\\.)*')", re.IGNORECASE)
_BEFORE_DATA = re.compile(rb"[ \t\f]*\r?\n?")
_SEMICOLON = re.compile(rb"[ \t\f]*;")
"""After the name of a format. On the next line it is the first byte of the data."""


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

    head: bytes
    clause: bytes
    data_format: str
    data_from: int

    def reading(self, path: str) -> bytes:
        """The statement that takes its data from a file."""
        source = f"FROM INFILE {quoted(path)} COMPRESSION 'none'".encode()
        return b" ".join([self.head, source, self.clause, b"FORMAT", self.data_format.encode()])


@dataclass(frozen=True, slots=True)
class Shape:
    """What the words of a statement tell without the engine.

    Attributes:
        format_at: where the FORMAT clause begins; None: there is none.
        end: where the statement ends, without what is only a semicolon or a comment; None: that
            was not looked for.
    """

    word: str
    output_format: str = ""
    insert: Insert | None = None
    format_at: int | None = None
    end: int | None = None

    @property
    def gives_rows(self) -> bool:
        """Whether its answer is a result, if only an empty one."""
        return self.word not in _WITHOUT_RESULT

    def into(self, sql: bytes, path: str, output: str) -> bytes:
        """The statement that puts its result into a file that is there."""
        clause = f"INTO OUTFILE {quoted(path)} APPEND COMPRESSION 'none'".encode()
        rest = f"FORMAT {identifier(output)}".encode()
        if self.format_at is not None:
            rest = sql[self.format_at :]
        return b"%b\n%b\n%b" % (self._before_format(sql), clause, rest)

    def described(self, sql: bytes) -> bytes:
        """The statement that tells the columns of its result."""
        return b"DESCRIBE TABLE (%b\n)" % self._before_format(sql)

    def _before_format(self, sql: bytes) -> bytes:
        return sql[: self.end if self.format_at is None else self.format_at]


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """Data that come with a statement. `making` and `filling` are statements for the engine."""

    name: str
    making: bytes
    filling: bytes


@dataclass(frozen=True, slots=True)
class Parameters:
    """The URL's parameters, sorted.

    Attributes:
        settings: of the engine.
        values: of `{name:Type}`.
        compress, decompress: whether the answer, and the body, consist of ClickHouse's compressed
            blocks.
        checked: whether the checksums of the body's blocks must be right.
        revision: the client's protocol version; 0: it says none.
    """

    settings: Mapping[str, str]
    values: Mapping[str, str]
    compress: bool = False
    decompress: bool = False
    checked: bool = True
    revision: int = 0


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
    if role := query.get("role"):
        raise BadRequest(f"There is no role `{role}` in user directories", 511, "UNKNOWN_ROLE")
    unchecked = "http_native_compression_disable_checksumming_on_decompress"
    return Parameters(
        settings,
        values,
        compress=_flag(query, "compress"),
        decompress=_flag(query, "decompress"),
        checked=not _flag(query, unchecked),
        revision=_number(query, "client_protocol_version"),
    )


def is_on(query: Mapping[str, str], name: str) -> bool:
    """Whether a parameter, or a setting, is there and does not say no."""
    return query.get(name, "").lower() not in {"", "0", "false"}


def _flag(query: Mapping[str, str], name: str) -> bool:
    """Whether a parameter of the interface is there and says yes. Raises BadRequest."""
    value = query.get(name, "")
    if value.lower() in {"1", "true"}:
        return True
    if value.lower() in {"", "0", "false"}:
        return False
    raise BadRequest(f"{name}={value}: it must be 0 or 1")


def _number(query: Mapping[str, str], name: str) -> int:
    """Raises BadRequest."""
    value = query.get(name, "") or "0"
    if not (value.isascii() and value.isdecimal()) or len(value) > 9:
        raise BadRequest(f"{name}={value}: it must be a number")
    return int(value)


_OPENING, _CLOSING = (b"(", b"[", b"{"), (b")", b"]", b"}")

DEEPEST = 10_000
"""Brackets within each other: ten times the engine's `max_parser_depth`. Where they are never
closed, the engine lists all of them, in a time that grows with the square of their number."""


def read_shape(source: bytes, refused: Refused) -> Shape:
    """Read a statement, up to the data of an insert.

    Args:
        source: the statement; of an insert, its beginning with as much data as there is.

    Raises:
        BadRequest: it cannot be read, or would reach beyond the tables by its words.
    """
    found = _checked(source, refused)
    for token in found:
        if token.word == b"INSERT":
            return Shape("INSERT", insert=_insert(source, token.start, found))
        if token.word:
            output, at, end = _output_format(token, found)
            return Shape(token.word.decode(), output, format_at=at, end=end)
        if token.text != b"(":
            break
    for _ in found:
        pass
    return Shape("")


def is_empty(source: bytes) -> bool:
    """Whether there is nothing but comments and semicolons. Raises BadRequest: it cannot be
    read."""
    try:
        return all(each.text == b";" for each in tokens(source))
    except Unreadable as error:
        raise _unreadable(error) from error


def is_insert(source: bytes) -> bool:
    """Whether the statement that begins so is an INSERT. Raises BadRequest: it cannot be read."""
    try:
        return next((each.word for each in tokens(source) if each.word), b"") == b"INSERT"
    except Unreadable as error:
        raise _unreadable(error) from error


def _unreadable(error: Unreadable) -> BadRequest:
    return BadRequest(f"the statement: {error}", 62, "SYNTAX_ERROR")


def refuse_calls(source: bytes | mmap, refused: Refused) -> None:
    """Raises BadRequest where the data of VALUES, which may hold expressions, calls what is not
    allowed."""
    names = b"|".join(map(re.escape, sorted(refused.functions)))
    if re.search(rb"\b(?:%b)\b|\\" % names, source, re.IGNORECASE):
        for _ in _checked(source, refused):
            pass


def _checked(source: bytes | mmap, refused: Refused) -> Iterator[Token]:
    """The tokens.

    Raises:
        BadRequest: what has come up to here would reach beyond the tables.
    """
    made: set[bytes] = set()
    earlier = last = None
    name, depth = b"", 0
    try:
        for token in tokens(source):
            kind = token.kind
            if kind is _SIGN:
                if name and token.text == b"(":
                    said = name.decode(errors="replace")
                    raise BadRequest(f"the function {said} {NOT_ALLOWED}", 497, "ACCESS_DENIED")
                name = b""
                depth += (token.text in _OPENING) - (token.text in _CLOSING)
                if depth > DEEPEST:
                    raise BadRequest(
                        f"Maximum parse depth ({DEEPEST}) exceeded", 306, "TOO_DEEP_RECURSION"
                    )
            elif kind is _WORD or kind is _QUOTED:
                name = _name(token)
                if made and _is_engine(earlier, last) and _hits(name, refused.engines):
                    said = name.decode(errors="replace")
                    raise BadRequest(f"the engine {said} {NOT_ALLOWED}", 497, "ACCESS_DENIED")
                if not _hits(name, refused.functions) or _stands_before_name(earlier, last):
                    name = b""
                if token.word in _MAKING:
                    made.add(token.word)
            else:
                name = b""
                if kind is _STRING or kind is _HEREDOC:
                    _refuse_path(earlier, last, made)
            earlier, last = last, token
            yield token
    except Unreadable as error:
        raise _unreadable(error) from error


def _name(token: Token) -> bytes:
    """Of an identifier, in small letters, without its quotation marks."""
    return _unquoted(token).lower()


def _unquoted(token: Token) -> bytes:
    if token.kind is _WORD:
        return token.text
    width = 1 if token.text[:1] in (b"`", b'"') else 3
    return token.text[width:-width]


def _hits(name: bytes, names: frozenset[bytes]) -> bool:
    """Whether it is one of them, or is written so that it could be."""
    return name in names or b"\\" in name


def _stands_before_name(earlier: Token | None, last: Token | None) -> bool:
    if earlier is not None and earlier.word in _ASKING:
        return False
    return _is_one_of(last, _BEFORE_NAME)


def _is_one_of(token: Token | None, words: frozenset[bytes]) -> bool:
    return token is not None and (token.word or token.text) in words


def _is_engine(earlier: Token | None, last: Token | None) -> bool:
    """Whether a name that comes now is that of an engine: after ENGINE, or ENGINE and =."""
    if last is None:
        return False
    if last.text == b"=":
        return earlier is not None and earlier.word == b"ENGINE"
    return last.word == b"ENGINE"


def _refuse_path(earlier: Token | None, last: Token | None, made: set[bytes]) -> None:
    """Raises BadRequest where a string that comes now names a file."""
    if last is None:
        return
    before = earlier.word if earlier is not None else b""
    if before == b"FROM" and last.word == b"INFILE":
        raise BadRequest("INFILE is not allowed", 78, "UNKNOWN_TYPE_OF_QUERY")
    if before == b"INTO" and last.word == b"OUTFILE":
        raise BadRequest("INTO OUTFILE is not allowed", 358, "INTO_OUTFILE_NOT_ALLOWED")
    if last.word == b"FROM" and b"ATTACH" in made:
        raise BadRequest("ATTACH … FROM a path is not allowed", 481, "PATH_ACCESS_DENIED")


def _insert(source: bytes, start: int, found: Iterator[Token]) -> Insert | None:
    """The insert with data that begins at `start`; None for INSERT … SELECT."""
    depth = 0
    head_to = format_at = None
    before = last = None
    for token in found:
        before, last = last, token
        if format_at is not None:
            if token.kind is Kind.QUOTED:
                raise BadRequest("the name of a format must not be quoted", 62, "SYNTAX_ERROR")
            if token.word:
                at = (start, head_to or format_at, format_at)
                return _made(source, at, token.text, token.end)
            format_at = None
        if token.text in (b"(", b")"):
            depth += 1 if token.text == b"(" else -1
        elif depth == 0 and not _is_one_of(before, _BEFORE_TABLE):
            if token.word == b"FORMAT":
                format_at = token.start
            elif token.word == b"VALUES":
                at = (start, head_to or token.start, token.start)
                return _made(source, at, b"Values", token.end)
            elif token.word == b"SETTINGS":
                head_to = token.start
            elif token.word in (b"SELECT", b"WITH"):
                _output_format(token, found)
                return None
    return None


def _made(source: bytes, at: tuple[int, int, int], name: bytes, end: int) -> Insert:
    start, head_to, clause_to = at
    found = _BEFORE_DATA.match(source, end)
    data_from = found.end() if found else end
    if name != b"Values" and (semicolon := _SEMICOLON.match(source, end)):
        if not source[semicolon.end() :].strip():
            data_from = len(source)
        elif semicolon.end() == end + 1:
            raise BadRequest("there is a semicolon before the data", 62, "SYNTAX_ERROR")
    head, clause = source[start:head_to], source[head_to:clause_to]
    return Insert(head, clause, name.decode(), data_from)


def _output_format(last: Token, found: Iterator[Token]) -> tuple[str, int | None, int]:
    """The name in the FORMAT clause, and where that begins, empty where there is none; and where
    the last token ends that is no semicolon. Args: last: what comes before those found."""
    depth = 0
    name = before = b""
    begin = at = None
    end = last.end
    for token in found:
        if token.text in (b"(", b")"):
            depth += 1 if token.text == b"(" else -1
        if token.text != b";":
            end = token.end
        is_name = token.word not in _NO_FORMAT or token.kind is _QUOTED
        if before == b"FORMAT" and is_name and depth <= 0:
            name, before, at = _unquoted(token), b"name", begin
            if b"\\" in name:
                raise BadRequest("the name of a format must have no escapes", 62, "SYNTAX_ERROR")
        else:
            goes_on = token.word == b"SETTINGS" or token.text == b";"
            if before == b"name" and not goes_on:
                name = b""
            before = token.word
            if before == b"FORMAT":
                begin = token.start
                before = b"" if _is_one_of(last, _BEFORE_COLUMN) else before
        last = token
    return (name.decode(), at, end) if name else ("", None, end)


def kill_by_mark(sql: bytes) -> bytes:
    """KILL QUERY, so that it finds a query_id that the client chose: it is in log_comment."""
    return _KILLED.sub(rb"(\g<0> OR Settings['log_comment'] = \1)", sql)


def identifier(name: str) -> str:
    """As ClickHouse reads it between backticks."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def quoted(text: str) -> str:
    """A string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
