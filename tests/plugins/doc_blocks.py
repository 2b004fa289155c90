"""Fenced blocks of the documentation, their commands, and what these should print.

Marks are HTML comments on the lines directly before a fence:

    <!-- not run: REASON -->      its commands are not run here; REASON is one of REASONS
    <!-- output varies -->        its commands are run, what they print is not compared
    <!-- first: COMMAND -->       run before it, for what the reader of the page has already
    <!-- file: NAME -->           a file that commands after it use, and no program to be run

A block of `python` is a program of its own: it is run, and must end well.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHELL = frozenset({"console", "sh"})
"""`console`: commands after `$ `, and their output. `sh`: commands only."""
PYTHON = "python"
LANGUAGES = SHELL | {PYTHON, "ini", "json", "sql", "text", "toml", "yaml"}
REASONS = frozenset(
    {
        "needs a container engine",
        "needs a Kubernetes cluster",
        "needs a package index",
        "needs a server of your own",
        "needs an interrupted load",
        "takes minutes",
    }
)
_COMMANDS = {
    "cd", "cp", "curl", "docker", "export", "for", "kubectl", "make", "mkdir", "nrtctl", "pip",
    "pipx", "printf", "python", "source", "uvx",
}  # fmt: skip
_ENDLESS = re.compile(
    r"nrtctl (dashboard\b|listen\b(?!.*(&|--help))|stats\b(?!.*--(once|schema|help))"
    r"|consume\b(?!.*--(until-end|count|help))|peek\b.*(--follow|-f\b)|produce\b(?!.*--(count|duration|input)).*--rate\b)"
)
_FENCE = re.compile(r"^( *)```([^\s`]*) *$")
_MARK = re.compile(r"^ *<!-- (?:(not run|first|file): (.+)|(output varies)) -->$")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: of its opening fence, from 1.
        text: without indentation.
        not_run: why its commands are not run here.
        varies: whether its output is not compared.
        first: commands to be run before it.
        file: the file that it is.
    """

    language: str
    line: int
    text: str
    not_run: str | None = None
    varies: bool = False
    first: tuple[str, ...] = ()
    file: str | None = None

    @property
    def runs(self) -> bool:
        return self.language in SHELL | {PYTHON} and self.not_run is None


@dataclass(frozen=True)
class Step:
    """A command, and the lines that the page shows of its output; none: not said."""

    command: str
    output: tuple[str, ...] = ()

    @property
    def endless(self) -> bool:
        """Whether it runs until it is stopped."""
        return _ENDLESS.search(self.command) is not None

    @property
    def fails(self) -> bool:
        """Whether the page shows it failing."""
        return any(line.startswith("error: ") for line in self.output)


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page of Markdown.

    Raises ValueError: a fence is not closed, its language is not one of LANGUAGES, a mark is
    unknown or does not stand before a block that is run, or commands stand in a block of text.
    """
    found = []
    lines = page.splitlines()
    marks: list[re.Match[str]] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.lstrip().startswith("<!--"):
            if (mark := _MARK.match(line)) is None:
                raise ValueError(f"line {number}: an unknown mark: {line.strip()}")
            marks.append(mark)
            continue
        if (fence := _FENCE.match(line)) is None:
            if "```" in line:
                raise ValueError(f"line {number}: no fence of a block: {line.strip()}")
            if marks:
                raise ValueError(f"line {number}: a mark that stands before no block")
            continue
        indentation, language = fence.groups()
        try:
            end = lines.index(f"{indentation}```", number)
        except ValueError:
            raise ValueError(f"line {number}: the block is not closed") from None
        text = textwrap.dedent("\n".join(lines[number:end])) + "\n"
        found.append(_checked(language, number, text, marks))
        marks = []
        number = end + 1
    if marks:
        raise ValueError("a mark at the end of the page")
    return found


def _checked(language: str, line: int, text: str, marks: Sequence[re.Match[str]]) -> Block:
    if language not in LANGUAGES:
        raise ValueError(
            f"line {line}: a block of {language or 'no language'}: {sorted(LANGUAGES)}"
        )
    reasons = [mark[2] for mark in marks if mark[1] == "not run"]
    for reason in reasons:
        if reason not in REASONS:
            raise ValueError(f"line {line}: an unknown reason: {reason}")
    files = [mark[2] for mark in marks if mark[1] == "file"]
    if len(marks) > len(files) and language not in SHELL | {PYTHON}:
        raise ValueError(f"line {line}: a mark before a block without commands")
    if files and (language != PYTHON or len(files) > 1):
        raise ValueError(f"line {line}: a file that is no one block of Python")
    if language == "text" and any(_is_command(each) for each in text.splitlines()):
        raise ValueError(f"line {line}: commands in a block of plain text")
    return Block(
        language,
        line,
        text,
        reasons[0] if reasons else None,
        any(mark[3] for mark in marks),
        tuple(mark[2] for mark in marks if mark[1] == "first"),
        files[0] if files else None,
    )


def _is_command(line: str) -> bool:
    return line.startswith("$ ") or line.partition(" ")[0] in _COMMANDS


def steps(block: Block) -> list[Step]:
    """The commands of a block, in order; those of `sh` are one script.

    Raises ValueError: output stands before the first command.
    """
    if block.language == "sh":
        return [Step(block.text)]
    found: list[Step] = []
    continued = False
    for line in block.text.splitlines():
        if continued:
            found[-1] = Step(f"{found[-1].command}\n{line}")
        elif line.startswith("$ "):
            found.append(Step(line[2:]))
        elif found:
            found[-1] = Step(found[-1].command, (*found[-1].output, line))
        else:
            raise ValueError(f"line {block.line}: output before the first command")
        continued = (continued or line.startswith("$ ")) and line.endswith("\\")
    return found


def texts(text: str, parse_float: Callable[[str], Any] = float) -> list[Any]:
    """The values of JSON texts that follow each other.

    Raises ValueError: it is none.
    """
    found = []
    decoder = json.JSONDecoder(parse_float=parse_float)
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


_VARIES = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"[─ ]*─[─ ]*"), "─"),
    (re.compile(r"\([\d,]+/s\)"), "(N/s)"),
    (re.compile(r"(?<![\w.])[-+]?[\d,]+(\.\d+)? (s|ms|GiB|MiB|KiB|insert)s?\b"), r"N \2"),
    (re.compile(r"\b\d+\.\d+\.\d+\.\d+$"), "VERSION"),
    (re.compile(r"\b20(?!10|26-01-01)\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*"), "TIME"),
    (re.compile(r" +"), " "),
)
"""What differs from run to run: durations, rates, sizes of disks, numbers of inserts, versions,
times of now. A table's columns follow the longest of their values."""


def normalised(line: str) -> str:
    for pattern, instead in _VARIES:
        line = pattern.sub(instead, line)
    return line.strip()


def shows(expected: Iterable[str], output: Iterable[str]) -> bool:
    """Whether what a page shows is what came; a line `…` stands for any lines, none as well."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else re.escape(normalised(line)) + r"\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{normalised(line)}\n" for line in output)) is not None


def replaced(text: str, pairs: Mapping[str, str]) -> str:
    """Each key that stands there as a word becomes its value, in one pass."""
    pattern = "|".join(rf"(?<!\w){re.escape(key)}(?!\w)" for key in pairs)
    return re.sub(pattern, lambda found: pairs[found[0]], text)
