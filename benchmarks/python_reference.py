"""Writes docs/python-reference.md from the names that `import nrtctl` offers: `make reference`.

The texts are their docstrings. A test holds the page to them.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic

import nrtctl

PAGE = Path(__file__).parents[1] / "docs" / "python-reference.md"
_HEAD = """\
# Every name of the Python API

Made by `make reference` from the docstrings of what `import nrtctl` offers. How they are used is in
[the Python API](python-api.md), with programs that run.
"""
_ELSEWHERE = {
    "Config": "Its values are those of the [configuration](configuration-keys.md).",
    "Pipeline": "Its values are the [keys of `pipeline`](configuration-keys.md#pipeline).",
    "Snapshot": "Its values, and what they are made of, are [the form of a snapshot]"
    "(stats.md#the-form-of-a-snapshot-version-2).",
}
"""Where a page says more of what is in it."""
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):(.*)$")
_ENTRY = re.compile(r"^    (?=\S)([\w., `*]+?): (.*)$")


def page() -> str:
    """The whole page."""
    offered = [(name, getattr(nrtctl, name)) for name in nrtctl.__all__ if name[0] != "_"]
    kinds: dict[str, Callable[[Any], bool]] = {
        "The client": lambda it: it is nrtctl.Client,
        "Functions": inspect.isfunction,
        "Values": lambda it: inspect.isclass(it) and not issubclass(it, Exception),
        "Errors": lambda it: inspect.isclass(it) and issubclass(it, Exception),
    }
    parts = [_HEAD]
    told: set[str] = set()
    for title, belongs in kinds.items():
        those = [(n, it) for n, it in offered if belongs(it) and n not in told]
        told |= {name for name, _ in those}
        parts.append(f"\n## {title}\n")
        for name, it in those:
            parts.append("".join(f"\n{block}\n" for block in _of(name, it)))
    return "".join(parts)


def _of(name: str, it: Any) -> Iterator[str]:
    yield f"### {name}"
    if inspect.isfunction(it) or it is nrtctl.Client:
        yield _code(name, inspect.signature(it))
    elif issubclass(it, Exception):
        yield f"Exit code of a command that ends with it: {getattr(it, 'exit_code', 1)}."
    yield from _text(inspect.getdoc(it) or "")
    if name in _ELSEWHERE:
        yield _ELSEWHERE[name]
    elif dataclasses.is_dataclass(it) and isinstance(it, type):
        fields = [each for each in dataclasses.fields(it) if each.name[0] != "_"]
        lines = [f"{each.name}: {each.type}\n" for each in fields]
        yield f"```text\n{''.join(lines)}```"
    if inspect.isclass(it) and not issubclass(it, Exception | pydantic.BaseModel):
        for method, what in vars(it).items():
            if method[0] != "_" and (isinstance(what, property) or inspect.isfunction(what)):
                yield from _of_method(f"{name}.{method}", what)


def _of_method(name: str, what: Any) -> Iterator[str]:
    yield f"#### {name}"
    if isinstance(what, property):
        returned = inspect.signature(what.fget).return_annotation if what.fget else ""
        yield f"A property: `{returned}`."
    else:
        signature = inspect.signature(what)
        own = [each for each in signature.parameters.values() if each.name != "self"]
        yield _code(name.rpartition(".")[2], signature.replace(parameters=own))
    yield from _text(inspect.getdoc(what) or "")


def _code(name: str, signature: inspect.Signature) -> str:
    """One line where it is short, else a line for each parameter."""
    text = f"{name}{signature}".replace("'", "")
    if len(text) > 90:
        inside = [str(each).replace("'", "") for each in signature.parameters.values()]
        if any(each.kind is each.KEYWORD_ONLY for each in signature.parameters.values()):
            kinds = [each.kind for each in signature.parameters.values()]
            inside.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
        returned = signature.return_annotation
        end = "" if returned is signature.empty else f" -> {returned}".replace("'", "")
        text = f"{name}(\n    " + ",\n    ".join(inside) + f",\n){end}"
    text = re.sub(r"<function \S+ at 0x\w+>", "…", text)
    return f"```text\n{text}\n```"


def _text(doc: str) -> Iterator[str]:
    """A docstring as Markdown: paragraphs, and a list for each of its sections."""
    lines: list[str] = []
    for line in doc.splitlines():
        if found := _SECTION.match(line):
            lines += ["", f"{found[1]}:{found[2]}", ""]
        elif entry := _ENTRY.match(line):
            lines.append(f"- `{entry[1].replace('`', '')}`: {entry[2]}")
        else:
            lines.append(line.strip())
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    for paragraph in text.split("\n\n") if text else ():
        joined = re.sub(r"\n(?!- )", " ", paragraph)
        yield joined.replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page())
