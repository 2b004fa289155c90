"""Bytes of messages as text for people. Used by `dlq_command` and `dashboard_questions`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nrtctl.config.counted import counted
from nrtctl.kafka.messages import plain
from nrtctl.view.printable import printable

if TYPE_CHECKING:
    from nrtctl.dead_letters.letters import Content, Entry
    from nrtctl.schema.field_faults import Finding

MAX_DUMP = 4096
"""Bytes of a binary value that are dumped."""


def data_as_text(data: bytes | None) -> str:
    """UTF-8 text, on one line, else a dump in hexadecimal."""
    if data is None:
        return "null"
    if not data:
        return "(0 bytes)"
    try:
        return printable(data.decode())
    except UnicodeDecodeError:
        return dump(data)


def dump(data: bytes) -> str:
    """16 bytes a line: place, hexadecimal, ASCII."""
    lines = [f"({counted(len(data), 'byte')}, not UTF-8)"]
    for at in range(0, min(len(data), MAX_DUMP), 16):
        piece = data[at : at + 16]
        letters = "".join(chr(each) if 32 <= each < 127 else "." for each in piece)
        lines.append(f"{at:08x}  {piece.hex(' '):<47}  {letters}")
    if len(data) > MAX_DUMP:
        lines.append(f"… {counted(len(data) - MAX_DUMP, 'byte')} more; -o json prints all of them")
    return "\n".join(lines)


def time_as_text(ms: int | None) -> str:
    if not ms:
        return "none"
    moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def letter_as_text(
    topic: str, letter: Content, past: Sequence[Entry], faults: Sequence[Finding]
) -> str:
    """What `dlq show` prints. Args: faults: of the present pipeline."""
    lines = [
        f"message    {topic} {letter.partition}/{letter.offset}",
        f"timestamp  {time_as_text(letter.timestamp)}",
        f"rejected   {time_as_text(letter.inserted)}",
        f"reason     {printable(letter.reason)}",
    ]
    if letter.field:
        lines.append(f"field      {printable(letter.field)}")
    lines += [f"fault      {printable(str(each))}" for each in faults]
    if letter.error:
        lines.append(f"error      {printable(letter.error)}")
    for each in past:
        text = f"tried      {time_as_text(each.at)}: {each.outcome}: {printable(each.reason)}"
        text += "".join(
            f"; {printable(more)}" for more in (each.field, each.error, each.fix) if more
        )
        lines.append(text)
    if letter.purged:
        return "\n".join([*lines, f"purged     {time_as_text(letter.purged)}"])
    lines.append(f"key        {data_as_text(letter.key)}")
    for name, value in letter.headers:
        lines.append(f"header     {data_as_text(name)}: {data_as_text(value)}")
    return "\n".join([*lines, "value", data_as_text(letter.value)])


def letter_as_dict(
    topic: str, letter: Content, past: Sequence[Entry], faults: Sequence[Finding]
) -> dict[str, Any]:
    """The same for JSON; bytes as in `kafka.messages`."""
    return {
        "topic": topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp or None,
        "rejected_at": letter.inserted,
        "reason": letter.reason,
        "field": letter.field,
        "faults": [
            {
                "field": f.field,
                "place": f.place,
                "state": f.state,
                "value": f.text,
                "type": f.wanted,
            }
            for f in faults
        ],
        "error": letter.error,
        "purged_at": letter.purged,
        "key": plain(letter.key),
        "headers": [[plain(name), plain(value)] for name, value in letter.headers],
        "value": plain(letter.value),
        "history": [asdict(each) for each in past],
    }
