"""A drafted pipeline as the text of nrtctl.toml, with what is unsure as comments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nrtctl.pipeline.infer.columns import Column
from nrtctl.pipeline.infer.draft import Draft

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NOT_IN_COMMENTS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
WIDEST = 44
"""Where comments begin, at most."""


def written(draft: Draft, head: str, name: str | None = None) -> str:
    """Args:
    head: what stands before the pipeline.
    name: of `[pipelines.NAME]`; None: it is `[pipeline]`.
    """
    section = "pipeline" if name is None else f"pipelines.{key(name)}"
    counted = f"{draft.messages:,} message{'s' if draft.messages != 1 else ''}"
    lines = [head.rstrip("\n"), ""]
    lines += [
        f"# Drafted from {counted} of {comment(draft.source)}.",
        "# The comments say what was guessed. `nrtctl try FILE` shows what this pipeline would do",
        "# with the messages of a file.",
    ]
    lines += [f"# {comment(each)}" for each in draft.remarks]
    lines += [
        f"[{section}]",
        f"topic = {value(draft.topic)}",
        f"table = {value(draft.table)}",
    ]
    if draft.format != "json":
        lines.append(f"format = {value(draft.format)}")
    if draft.unpack:
        lines.append(f"unpack = {value(list(draft.unpack))}   # JSON in strings")
    if draft.rows_as_written is not None:
        lines.append(f"rows = {value(draft.rows_as_written)}")
    if draft.tombstones:
        lines.append(f"tombstones = {value(draft.tombstones)}")
    order = draft.order_by
    if order:
        lines.append(f"order_by = {value(list(order))}")
    else:
        lines.append("# order_by = []   # no column suggests itself; rows are kept by offset")
    lines += ["", f"[{section}.fields]"]
    lines += _aligned({each.name: field(each.options) for each in draft.typed}, draft.typed)
    raws = [each for each in draft.fields if each.raw]
    if raws:
        lines += ["", f"[{section}.columns]"]
        lines += _aligned({each.name: value(each.sql) for each in raws}, raws)
    return "\n".join(lines) + "\n"


def _aligned(rights: Mapping[str, str], fields: Sequence[Column]) -> list[str]:
    texts = [f"{key(name)} = {right}" for name, right in rights.items()]
    short = [len(text) for text in texts if len(text) <= WIDEST]
    width = max(short, default=0)
    lines = []
    for text, each in zip(texts, fields, strict=True):
        notes = "; ".join(comment(note) for note in each.guess.notes)
        lines.append(f"{text:<{width}}   # {notes}" if notes else text)
    return lines


def field(options: Mapping[str, Any]) -> str:
    """The right side of a field's line: the type alone, or a table."""
    return value(options["type"]) if len(options) == 1 else value(options)


def key(name: str) -> str:
    return name if _BARE.fullmatch(name) else value(name)


def value(given: Any) -> str:
    """A value as TOML."""
    if isinstance(given, str):
        return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, Mapping):
        if not given:
            return "{}"
        return "{ " + ", ".join(f"{key(k)} = {value(v)}" for k, v in given.items()) + " }"
    if isinstance(given, list | tuple):
        return "[" + ", ".join(value(each) for each in given) + "]"
    return str(given)


def comment(text: str) -> str:
    """Text that cannot end a comment."""
    return _NOT_IN_COMMENTS.sub("?", text)
