"""The references of commands and Python API, and the manual page, are made, and current."""

from __future__ import annotations

import re

import nrtctl
from benchmarks import command_reference, python_reference
from nrtctl import errors
from nrtctl.cli.app import COMMANDS
from tests.plugins.doc_pages import ROOT


def test_they_are_current() -> None:
    """`make reference` writes them."""
    assert (ROOT / "docs" / "python-reference.md").read_text() == python_reference.page()
    assert (ROOT / "docs" / "command-reference.md").read_text() == command_reference.page()
    assert (command_reference.MAN).read_text() == command_reference.man()


def test_all_commands_are_in_them() -> None:
    names = [each.name for each in command_reference.commands()]
    assert [name for name in names if name.count(" ") == 1] == [f"nrtctl {n}" for n in COMMANDS]
    assert {"nrtctl", "nrtctl replay load", "nrtctl completion show"} < set(names)


def test_roff_says_the_text_and_nothing_else() -> None:
    lines = command_reference.man().splitlines()
    macros = {".TH", ".SH", ".SS", ".PP", ".TP", ".B"}
    assert {line.split()[0] for line in lines if line.startswith(".")} - macros == {'.\\"'}
    for line in lines[1:]:
        assert not line.startswith("'")
        assert re.fullmatch(r"(?:[^\\]|\\[&e-]|\\\(aq|\\f[BR])*", line), line


def test_the_exit_codes_are_those_of_the_errors() -> None:
    own = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.exit_code for each in own if issubclass(each, errors.NrtctlError)}
    assert set(command_reference.exit_codes()) == {0, 130} | codes


def test_every_name_of_the_python_api_is_there_with_its_methods() -> None:
    page = python_reference.page()
    for name in set(nrtctl.__all__) - {"__version__"}:
        assert f"\n### {name}\n" in page
    for method in [name for name in vars(nrtctl.Client) if name[0] != "_"]:
        assert f"\n#### Client.{method}\n" in page
    assert " at 0x" not in page
