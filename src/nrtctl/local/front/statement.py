"""What a request asks for: the statement, its settings, its parameters, where its data is.

Pure. Source: https://clickhouse.com/docs/interfaces/http. Used by `app`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

RESERVED = frozenset(
    {
        "query", "user", "password", "database", "default_format", "query_id", "session_id",
        "session_timeout", "session_check", "compress", "decompress", "quota_key", "role",
        "client_protocol_version", "http_native_compression_disable_checksumming_on_decompress",
        "wait_end_of_query", "buffer_size", "enable_http_compression",
        "http_zlib_compression_level", "send_progress_in_http_headers",
        "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close",
    }
)  # fmt: skip
"""Parameters of the interface itself. Every other one is a setting, or a `param_…`."""

STREAMED = frozenset({"SELECT", "WITH"})
STREAMED_FORMATS = frozenset(
    {"Native", "RowBinary", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV",
     "JSONEachRow", "JSONLines", "NDJSON", "JSONCompactEachRow", "LineAsString"}
)  # fmt: skip
"""Formats without a head or foot, so that pieces can follow one another."""
_TRAILING_FORMAT = re.compile(r"\bFORMAT\s+([A-Za-z0-9]+)[\s;]*(?:SETTINGS\b.*)?$", re.IGNORECASE)

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEADING = re.compile(rb"(?:\s+|--[^\n]*\n?|/\*.*?\*/|\()*", re.DOTALL)
_WORD = re.compile(rb"[A-Za-z]+")
_INSERT_FORMAT = re.compile(
    rb"INSERT\s+INTO\b(?P<target>(?:`[^`]*`|\"[^\"]*\"|'(?:[^'\\]|\\.)*'|[^`\"'])*?)"
    rb"\bFORMAT\s+(?P<format>[A-Za-z0-9]+)[ \t;]*(?:\r?\n|\s|$)",
    re.IGNORECASE | re.DOTALL,
)
_INSERT_VALUES = re.compile(
    rb"INSERT\s+INTO\b(?P<target>[^'()]*(?:\([^()]*\))?[^'()]*)\bVALUES\s*$",
    re.IGNORECASE | re.DOTALL,
)
_NO_DATA = re.compile(rb"\b(SELECT|VALUES|INFILE)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. An insert with data has `target` and `data_format`; then `sql` is unused."""

    sql: str
    word: str
    target: str = ""
    data_format: str = ""
    data_from: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    def streams(self, default_format: str) -> bool:
        """Whether the answer can be sent in pieces as it is made."""
        named = _TRAILING_FORMAT.search(self.sql)
        output = named[1] if named else default_format
        return self.word in STREAMED and output in STREAMED_FORMATS

    @property
    def takes_data(self) -> bool:
        return bool(self.data_format)


class BadRequest(Exception):
    """The request is malformed; the text says how."""


def read_statement(query: Mapping[str, str], head: bytes) -> Statement:
    """Read a request.

    Args:
        query: the URL's parameters.
        head: the beginning of the body; it holds the statement where `query` has none.

    Raises:
        BadRequest
    """
    settings: dict[str, str] = {}
    parameters: dict[str, str] = {}
    for name, value in query.items():
        if name.startswith("param_"):
            parameters[name.removeprefix("param_")] = value
        elif name not in RESERVED:
            if not _IDENTIFIER.fullmatch(name):
                raise BadRequest(f"{name!r} is not a setting")
            settings[name] = value
    text = query.get("query", "").encode()
    in_url = bool(text.strip())
    source = text if in_url else head
    source_from = _LEADING.match(source).end()  # type: ignore[union-attr]
    found = _WORD.match(source, source_from)
    word = found[0].decode().upper() if found else ""
    if word == "INSERT":
        insert = _INSERT_FORMAT.match(source, source_from)
        if insert is not None and not _NO_DATA.search(insert["target"]):
            return Statement(
                "",
                word,
                _text(insert["target"]),
                insert["format"].decode(),
                0 if in_url else insert.end(),
                settings,
                parameters,
            )
        values = _INSERT_VALUES.match(source, source_from) if in_url else None
        if values is not None and head.strip():
            target = _text(values["target"])
            return Statement("", word, target, "Values", 0, settings, parameters)
    sql = _text(text) if in_url else ""
    return Statement(sql, word, settings=settings, parameters=parameters)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("the statement is not UTF-8 text") from error


def quoted(text: str) -> str:
    """A string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
