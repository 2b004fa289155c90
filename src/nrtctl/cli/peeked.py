"""Messages as text for people. Used by `peek_command` and `dashboard_questions`.

Whatever a message holds, its lines are indented: none of them looks like the head of another one.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

from nrtctl.config.counted import counted
from nrtctl.kafka.formats.wire import Undecodable
from nrtctl.kafka.value_forms import DECODERS, Decoded, NotDecoded, as_json
from nrtctl.view.printable import json_escaped, printable

if TYPE_CHECKING:
    from nrtctl.kafka.formats.decoder import ReadText
    from nrtctl.kafka.formats.wire import Headers

LONGEST = 64 * 1024
"""Characters of one message's value that are shown."""
LONGEST_DUMP = 4096
LONGEST_NAME = 1024

REST = "-o jsonl prints all of it"


def as_text(message: Any, form: str, read: ReadText | None = None) -> str:
    """Args:
    form: one of DECODERS.
    read: makes a value JSON, whatever the form; None: it is shown as it came.
    """
    from nrtctl.cli.dlq_show import time_as_text

    kind, timestamp = message.timestamp()
    time = time_as_text(timestamp if kind else None)
    place = f"{message.topic()}/{message.partition()} @{message.offset()}"
    lines = [f"{place}  {time}  key {short(message.key())}"]
    for name, value in message.headers() or ():
        lines.append(f"  header {printable(name[:LONGEST_NAME])}: {short(value)}")
    shown = value_lines(message.value(), form, read, message.headers())
    return "\n".join([*lines, *(f"  {line}" for line in shown)])


def short(data: bytes | None) -> str:
    """A key or a header's value, on one line."""
    if data is None:
        return "null"
    if not data:
        return "(0 bytes)"
    more = f"… ({counted(len(data), 'byte')})" if len(data) > LONGEST_NAME else ""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return printable(decoder.decode(data[:LONGEST_NAME], final=not more)) + more
    except UnicodeDecodeError:
        return f"0x{data[:LONGEST_NAME].hex()}{more}"


def value_lines(
    data: bytes | None, form: str, read: ReadText | None = None, headers: Headers = None
) -> list[str]:
    if data is None:
        return ["null (a tombstone, where the topic is compacted)"]
    if not data:
        return ["(0 bytes)"]
    try:
        found = DECODERS[form](data) if read is None else as_json(read(data, headers))
    except (NotDecoded, Undecodable) as error:
        return [printable(f"({error})"), *dump(data)]
    return dump(data) if found.text is None else _lines(found, found.text)


def _lines(found: Decoded, text: str) -> list[str]:
    left = len(text) - LONGEST
    text = text[:LONGEST]
    safe = printable(text, keep="\n") if found.value is None else json_escaped(text)
    lines = safe.split("\n")
    if left > 0:
        lines.append(f"… {counted(left, 'character')} more; {REST}")
    return lines


def dump(data: bytes) -> list[str]:
    """16 bytes a line: place, hexadecimal, ASCII."""
    lines = []
    for at in range(0, min(len(data), LONGEST_DUMP), 16):
        piece = data[at : at + 16]
        letters = "".join(chr(each) if 32 <= each < 127 else "." for each in piece)
        lines.append(f"{at:08x}  {piece.hex(' '):<47}  {letters}")
    if len(data) > LONGEST_DUMP:
        lines.append(f"… {counted(len(data) - LONGEST_DUMP, 'byte')} more; {REST}")
    return lines
