"""What a page asks beyond the snapshots: functions that may take seconds, each on a thread.

A few run at once and a few more wait; whoever comes then is told to try again. Used by `app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.view.dashboard.board import to_json

AT_ONCE = 4
WAITING = 16
WHERE_IT_IS = "open the address that `nrtctl dashboard` prints"
MOST_BODY = 256 * 1024
MOST_FIX = 64 * 1024
"""Bytes of a dead letter's value that are shown, and that can be edited."""


@dataclass(frozen=True, slots=True)
class Question:
    """Attributes:
    answer: given the pipeline's name and what the address asks for, plain values for JSON.
        Raises ConfigError: it asks for what cannot be; NrtctlError: it cannot be answered.
    guarded: it shows data, and is for those who have the token.
    of_all: of several pipelines it is about all, and the name is empty.
    takes_body: it comes with POST, and `body` is its text.
    """

    answer: Callable[[str, Mapping[str, str]], Any]
    guarded: bool = False
    takes_body: bool = False
    of_all: bool = False


class Asking:
    """Answers questions, on one event loop."""

    def __init__(self) -> None:
        self._threads = asyncio.Semaphore(AT_ONCE)
        self._inside = 0

    async def answer(self, question: Question, pipeline: str, request: Request) -> Response:
        if self._inside >= AT_ONCE + WAITING:
            return refused(503, "too many questions at once", "try again in a few seconds")
        self._inside += 1
        try:
            async with self._threads:
                asked = dict(QueryParams(request.scope["query_string"]))
                if question.takes_body:
                    asked["body"] = await _text(request)
                found = await asyncio.to_thread(question.answer, pipeline, asked)
        except asyncio.CancelledError:
            return refused(503, "the dashboard was ended")
        except ConfigError as error:
            return refused(400, error.message, error.hint)
        except NrtctlError as error:
            return refused(503, error.message, error.hint)
        finally:
            self._inside -= 1
        return Response(to_json(found), media_type="application/json")


async def _text(request: Request) -> str:
    """Raises ConfigError: it is too long, or no text."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BODY:
            raise ConfigError(f"more than {MOST_BODY // 1024} KiB are sent")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ConfigError("what is sent is not UTF-8") from error


def refused(status: int, why: str, hint: str | None = None) -> Response:
    return JSONResponse({"error": why, "hint": hint}, status)
