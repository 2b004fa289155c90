"""`cluster('default', …)` and `clusterAllReplicas('default', …)` on a server that is all of it.

A ClickHouse as it is installed has a cluster `default` of itself alone, which dashboards ask. What
stands in such a call is what it gives there, so the call is taken away; the statement that is left
is checked like any other. Pure; used by `app`.
Source: https://clickhouse.com/docs/sql-reference/table-functions/cluster
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nrtctl.local.front.lexer import Kind, Token, Unreadable, tokens

_CALLED = frozenset({b"CLUSTER", b"CLUSTERALLREPLICAS"})
_MAYBE = re.compile(rb"\bcluster(?:AllReplicas)?\b", re.IGNORECASE)
_NAMES = (Kind.WORD, Kind.QUOTED, Kind.STRING)
_DEFAULT = re.compile(rb"""(['"`]?)default\1""")
_MOST = 20
"""Calls of one statement."""
_MOST_BYTES = 2**14
"""Of a statement that is looked at: that is done beside other requests."""


def without_cluster(sql: bytes) -> bytes:
    """The statement without the calls; as it is where it has none, or none that is understood, or
    is an insert, whose data may look like anything."""
    if len(sql) > _MOST_BYTES:
        return sql
    for _ in range(_MOST):
        if _MAYBE.search(sql) is None:
            break
        try:
            found = [each for each in tokens(sql) if each.kind not in (Kind.SPACE, Kind.COMMENT)]
        except Unreadable:
            break  # the engine says what is wrong with it
        if next((each.word for each in found if each.word), b"") == b"INSERT":
            break
        call = next(filter(None, (_call(sql, found, at) for at in range(len(found)))), None)
        if call is None:
            break
        start, end, source = call
        sql = sql[:start] + source + sql[end:]
    return sql


def _call(sql: bytes, found: Sequence[Token], at: int) -> tuple[int, int, bytes] | None:
    """Where the call that begins here starts and ends, and what stands in it."""
    if found[at].word not in _CALLED or at + 4 >= len(found) or (at and found[at - 1].text == b"."):
        return None
    opening, cluster, comma = found[at + 1 : at + 4]
    if opening.text != b"(" or comma.text != b"," or not _DEFAULT.fullmatch(cluster.text):
        return None
    depth = 1
    parts: list[list[Token]] = [[]]
    for token in found[at + 4 :]:
        depth += (token.text in (b"(", b"[", b"{")) - (token.text in (b")", b"]", b"}"))
        if depth == 0:
            source = _source(sql, parts)
            return None if source is None else (found[at].start, token.end, source)
        if depth == 1 and token.text == b",":
            parts.append([])
        else:
            parts[-1].append(token)
    return None


def _source(sql: bytes, parts: Sequence[Sequence[Token]]) -> bytes | None:
    """A table, a database and a table, or a table function. What comes after it says how rows are
    spread over shards, which there is one of."""
    first = parts[0]
    if len(first) == 1 and first[0].kind in _NAMES:
        second = parts[1] if len(parts) > 1 else ()
        if len(second) == 1 and second[0].kind in _NAMES:
            return _named(first[0]) + b"." + _named(second[0])
        return _named(first[0]) if len(parts) == 1 else None
    is_table = [each.kind in _NAMES for each in first] == [True, False, True]
    if is_table and first[1].text == b".":
        return b".".join(_named(each) for each in (first[0], first[2]))
    if len(first) > 2 and first[0].kind is Kind.WORD and first[1].text == b"(":
        return sql[first[0].start : first[-1].end]
    return None


def _named(token: Token) -> bytes:
    """A name that is written as a string is an identifier in quotation marks."""
    if token.kind is not Kind.STRING:
        return token.text
    return b"`" + token.text[1:-1].replace(b"`", b"\\`") + b"`"
