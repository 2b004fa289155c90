"""The setting `http_response_headers`: headers that a client chooses for the answer. Used by `app`.

Source: https://clickhouse.com/docs/operations/settings/settings#http_response_headers
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from nrtctl.local.front.statement import BadRequest

_TEXT = r"\s*'((?:[^'\\]|\\.)*)'\s*"
_PAIR = re.compile(rf"{_TEXT}:{_TEXT}(?:,|$)")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FRAMING = frozenset(
    {"connection", "content-encoding", "content-length", "keep-alive", "trailer"}
    | {"transfer-encoding", "upgrade", "x-clickhouse-exception-tag"}
)
"""What these say is decided by how the answer is sent."""


def chosen_headers(chosen: str) -> dict[str, str]:
    """Args: chosen: a map as ClickHouse writes it, `{'Name':'value'}`. Raises BadRequest."""
    found: dict[str, str] = {}
    text, at = chosen.strip(), 0
    if not (text.startswith("{") and text.endswith("}")):
        raise BadRequest("http_response_headers is not a map of strings")
    text = text[1:-1].strip()
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise BadRequest("http_response_headers is not a map of strings")
        name, value = (re.sub(r"\\(.)", r"\1", each) for each in pair.groups())
        if not _NAME.fullmatch(name) or not all(" " <= each <= "~" for each in value):
            raise BadRequest(f"{name!r} in http_response_headers is not a header")
        if name.lower() not in _FRAMING:
            found[name] = value
        at = pair.end()
    return found


def with_chosen(headers: Mapping[str, str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Those that are chosen take the place of others of their name."""
    names = {name.lower() for name in chosen}
    return {k: v for k, v in headers.items() if k.lower() not in names} | dict(chosen)
