"""Answers that say no: ClickHouse's codes, and the HTTP statuses it gives them. Used by `app`.

Source: https://github.com/ClickHouse/ClickHouse, src/Server/HTTPHandler.cpp,
exceptionCodeToHTTPStatus; 358, 392, 452 and 481 are 500 there, and refusals here.
"""

from __future__ import annotations

import re

from nrtctl.local.front.outward import NOT_ALLOWED

_STATUS = {
    400: (
        6, 7, 26, 27, 33, 36, 38, 41, 43, 44, 51, 53, 62, 69, 70, 72, 117, 130, 131, 190, 321,
        427, 457,
    ),
    403: (192, 193, 497, 516, 164, 358, 392, 452, 481),
    401: (194,),
    404: (16, 46, 47, 50, 56, 60, 63, 73, 78, 79, 81, 115, 336, 372),
    408: (159,),
    411: (381,),
    413: (307, 317),
    501: (48,),
    503: (202, 209, 439),
}  # fmt: skip
_BY_CODE = {code: status for status, codes in _STATUS.items() for code in codes}


def status_of(code: int) -> int:
    return _BY_CODE.get(code, 500)


SYSTEM_LOGS = (
    "query_log", "query_thread_log", "query_views_log", "part_log", "text_log", "error_log",
    "metric_log", "asynchronous_metric_log", "session_log",
)  # fmt: skip
"""Tables of the database `system` that are there only where `local.system_logs` is set."""
_NO_LOG = re.compile(rf"identifier 'system\.({'|'.join(SYSTEM_LOGS)})'")

_CODE = re.compile(r"Code:\s*(\d+)")
_RIGHT = re.compile(r"Not enough privileges\. .* have the grant (.+?)\.?(?: \(|$)")
_TWICE = re.compile(r"^(Code: \d+\. DB::Exception: )\1+")


class EngineError(Exception):
    """The engine's own words, and its error code.

    Args:
        said: the words, or what chdb raised; where they quote bytes that are no text, it raises
            that instead, with the words in it.
    """

    def __init__(self, said: str | Exception) -> None:
        if isinstance(said, UnicodeDecodeError):
            said = said.object.decode(errors="replace")
        text = str(said)
        if NOT_ALLOWED in text:  # said by a function of this process, with where in it
            text = f"Code: 497. DB::Exception: the function {NOT_ALLOWED}. (ACCESS_DENIED)"
        elif (right := _RIGHT.search(text)) is not None:
            text = (
                f"Code: 497. DB::Exception: the local ClickHouse grants nobody the right {right[1]}"
                ". (ACCESS_DENIED)"
            )
        elif _NO_LOG.search(text) is not None:
            text += "; the local ClickHouse keeps its logs where local.system_logs is set"
        super().__init__(_TWICE.sub(r"\1", text))
        found = _CODE.search(text)
        self.code = int(found[1]) if found else 1002


class Refused(Exception):
    """An answer that the engine was not asked for; the text as ClickHouse writes it."""

    def __init__(self, code: int, text: str, *, status: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.status = status or status_of(code)


def too_many() -> Refused:
    return Refused(202, "Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)")
