"""Keys: bytes of a terminal to names, and what each one does to the view. Pure; used by `live`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

ESCAPE, ENTER, BACKSPACE, UP, DOWN = "escape", "enter", "backspace", "up", "down"
_NAMED = {
    b"\r": ENTER, b"\n": ENTER, b"\x7f": BACKSPACE, b"\x08": BACKSPACE, b"\x04": "q",
    b"\x1b[A": UP, b"\x1b[B": DOWN, b"\x1bOA": UP, b"\x1bOB": DOWN,
    b"\x1b[5~": UP, b"\x1b[6~": DOWN,
}  # fmt: skip
LONGEST_FILTER = 60


class Action(Enum):
    """What a key asks of the loop."""

    QUIT = "quit"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class State:
    """`skip`: blocks at the top that are passed over. `note`: of the footer, until the next key.

    Of several pipelines, `marked` is the one whose row is marked in the overview (None: the first),
    and `opened` the one that is shown in depth (None: the overview is).
    """

    paused: bool = False
    help: bool = False
    editing: bool = False
    filter: str = ""
    skip: int = 0
    note: str = ""
    marked: str | None = None
    opened: str | None = None


def press(state: State, key: str, rows: Sequence[str] = ()) -> tuple[State, Action | None]:
    """The state after a key, and what is to be done.

    Args:
        rows: names of the pipelines in the overview; empty: one is shown in depth.
    """
    state = replace(state, note="")
    if state.editing:
        return _edit(state, key), None
    if state.help:
        return replace(state, help=False), Action.QUIT if key == "q" else None
    match key:
        case "q":
            return state, Action.QUIT
        case "s":
            return state, Action.SNAPSHOT
        case "?" | "h":
            return replace(state, help=True), None
        case "p" | " ":
            return replace(state, paused=not state.paused), None
        case "/":
            return replace(state, editing=True), None
        case "escape":
            left = state.opened if state.filter or state.skip else None
            return replace(state, filter="", skip=0, opened=left), None
        case "down" | "j" if rows:
            return _mark(state, rows, 1), None
        case "up" | "k" if rows:
            return _mark(state, rows, -1), None
        case "enter" if rows:
            return replace(state, opened=marked(state, rows), filter="", skip=0), None
        case "down" | "j":
            return replace(state, skip=state.skip + 1), None
        case "up" | "k":
            return replace(state, skip=max(0, state.skip - 1)), None
    return state, None


def marked(state: State, rows: Sequence[str]) -> str:
    """The row that is marked. Args: rows: at least one."""
    return state.marked if state.marked is not None and state.marked in rows else rows[0]


def _mark(state: State, rows: Sequence[str], step: int) -> State:
    at = rows.index(marked(state, rows)) + step
    return replace(state, marked=rows[min(max(at, 0), len(rows) - 1)])


def _edit(state: State, key: str) -> State:
    if key == ENTER:
        return replace(state, editing=False)
    if key == ESCAPE:
        return replace(state, editing=False, filter="")
    if key == BACKSPACE:
        return replace(state, filter=state.filter[:-1])
    if len(key) == 1 and key.isprintable() and len(state.filter) < LONGEST_FILTER:
        return replace(state, filter=state.filter + key)
    return state


def keys(data: bytes, *, more: bool) -> tuple[list[str], bytes]:
    """The keys in what came from the terminal, and the bytes of one that is not complete.

    Args:
        more: whether the rest of a key may still come; else what is left is taken as it is.

    An escape sequence that means nothing here gives no key (and no letters of it).
    """
    found: list[str] = []
    while data:
        length = _length(data)
        if length > len(data):
            if more:
                return found, data
            length = len(data)
        one, data = data[:length], data[length:]
        if one == b"\x1b":
            found.append(ESCAPE)
        elif one in _NAMED:
            found.append(_NAMED[one])
        elif one[0] != 0x1B:
            text = one.decode(errors="ignore")
            if text.isprintable() and text:
                found.append(text)
    return found, b""


def _length(data: bytes) -> int:
    """How many bytes the first key has; more than there are where it is not complete."""
    first = data[0]
    if first == 0x1B:
        if len(data) == 1:
            return 2
        if data[1:2] == b"[":
            ends = (at for at in range(2, len(data)) if 0x40 <= data[at] <= 0x7E)
            return next(ends, len(data)) + 1
        return 3 if data[1:2] == b"O" else 1 if data[1:2] == b"\x1b" else 2
    return 1 if first < 0xC0 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
