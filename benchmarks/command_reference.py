"""Writes docs/command-reference.md and deploy/man/nrtctl.1 from the commands themselves:
`make reference`.

The texts are those of `--help`. A test holds both to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from nrtctl import __version__
from nrtctl.cli.app import app
from nrtctl.cli.common_options import PANEL
from nrtctl.cli.lazy_group import described

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "command-reference.md"
MAN = DOCS.parent / "deploy" / "man" / "nrtctl.1"
_HEAD = """\
# Every command and option

Made by `make reference` from what `nrtctl COMMAND --help` says; `man nrtctl` has the same. What the
commands are for is in [commands](commands.md), with the exit codes; an example of most of them is
in the guides.

"""


class Described(NamedTuple):
    """A command. `sections`: a heading to names and what is said of each."""

    name: str
    arguments: str
    paragraphs: list[str]
    sections: Mapping[str, Sequence[tuple[str, str]]]


def commands() -> Iterator[Described]:
    """In the order of the help, groups before their commands, the whole first."""
    yield from _below(typer.main.get_command(app), "nrtctl", None)


def _below(command: Any, name: str, parent: Any) -> Iterator[Described]:
    context = command.context_class(
        command, info_name=name, parent=parent, **command.context_settings
    )
    pieces = [each for each in command.collect_usage_pieces(context) if each != "[OPTIONS]"]
    text = re.split(r"\n\n+", (command.help or "").strip())
    sections = {
        title: [(names, text) for names, text in records if "--help" not in names]
        for title, records in described(command, context).items()
    }
    yield Described(
        context.command_path,
        " ".join(pieces),
        [" ".join(each.split()) for each in text],
        {title: records for title, records in sections.items() if records},
    )
    for inner in command.list_commands(context) if hasattr(command, "listing") else ():
        yield from _below(command.get_command(context, inner), inner, context)


def page() -> str:
    """The page in Markdown."""
    parts = [_HEAD]
    common: Sequence[tuple[str, str]] = ()
    for each in commands():
        common = common or each.sections[PANEL]
        parts.append(f"## {each.name}\n\n`{_usage(each)}`\n\n")
        parts += [f"{_escaped(text)}\n\n" for text in each.paragraphs]
        for title, records in each.sections.items():
            if title != PANEL:
                parts.append(_table("argument" if title == "Arguments" else "option", records))
    parts.append("## Options of every command\n\nBefore the command's name, or after it.\n\n")
    parts.append(_table("option", common))
    return "".join(parts)[:-1]


def exit_codes() -> dict[int, str]:
    """What docs/commands.md says that each means, as plain text."""
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", (DOCS / "commands.md").read_text(), re.M)
    return {int(code): re.sub(r"\[(.+?)\]\(.+?\)", r"\1", meaning) for code, meaning in rows}


def _usage(each: Described) -> str:
    return " ".join(word for word in (each.name, "[OPTIONS]", each.arguments) if word)


def _table(what: str, records: Sequence[tuple[str, str]]) -> str:
    rows = [f"| `{name}` | {_escaped(text)} |\n" for name, text in records]
    return f"| {what} | meaning |\n| --- | --- |\n{''.join(rows)}\n"


def _escaped(text: str) -> str:
    """Text of help as Markdown, whose code stays code."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    parts[::2] = [re.sub(r"([\\*_<|])", r"\\\1", each) for each in parts[::2]]
    return "".join(parts)


def man() -> str:
    """The page as man(7) has it."""
    lines = [
        '.\\" Made by `make reference`.',
        f'.TH NRTCTL 1 "" "nrtctl {__version__}" "User Commands"',
        ".SH NAME",
        r"nrtctl \- a pipeline from Kafka into ClickHouse in near real time",
        ".SH SYNOPSIS",
        r".B nrtctl",
        _roff("[OPTIONS] COMMAND [ARGS]..."),
    ]
    common: Sequence[tuple[str, str]] = ()
    for each in commands():
        if not common:
            common = each.sections[PANEL]
            lines += [".SH DESCRIPTION", *_paragraphs(each)]
            lines += [".SH OPTIONS", "Before the command's name, or after it."]
            lines += [line for record in common for line in _tagged(*record)]
            lines += [".SH COMMANDS"]
            continue
        lines += [f".SS {_roff(_usage(each))}", *_paragraphs(each)]
        records = [one for title, of in each.sections.items() if title != PANEL for one in of]
        lines += [line for one in records for line in _tagged(*one)]
    lines += [".SH EXIT STATUS"]
    for code, meaning in exit_codes().items():
        lines += _tagged(str(code), f"{meaning}.")
    lines += [
        ".SH FILES",
        *_tagged("nrtctl.toml", "The configuration, in this directory or above."),
    ]
    lines += _tagged(".nrtctl", "The state of the local stack, beside it.")
    return "\n".join(lines) + "\n"


def _paragraphs(each: Described) -> list[str]:
    found = [line for text in each.paragraphs for line in (".PP", _roff(text))]
    return found[1:]


def _tagged(name: str, text: str) -> list[str]:
    return [".TP", rf"\fB{_roff(name)}\fR", _roff(" ".join(text.split()))]


def _roff(text: str) -> str:
    """One line of roff that says just this text."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "").replace("'", r"\(aq")
    return rf"\&{text}" if text[:1] in {".", "'"} else text


if __name__ == "__main__":
    PAGE.write_text(page())
    MAN.parent.mkdir(exist_ok=True)
    MAN.write_text(man())
