"""Text of messages and servers on a terminal: nothing in it acts, and nothing in it hides."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.cli.diagnostics import Diagnostics, run
from nrtctl.cli.formats import FORMATS, FormatName
from nrtctl.cli.output import Output
from nrtctl.cli.results import Document, Stream
from nrtctl.errors import NrtctlError
from nrtctl.view.printable import json_escaped, printable, without_surrogates

EVIL = (
    "\x1b]0;title\x07\x1b[2J\x9b31m\x08\r\u202e\u2066\u200b\u2060\ufeff\u3164\u034f\ufe0f"
    "\u2028\u00ad\udc80\ue000[bold red]:smile:"
)
ACTS = set(EVIL[: EVIL.index("[bold")]) - set("]0;title[2J31m")
TEXTS = st.text(st.characters(exclude_categories=()))


@given(TEXTS)
def test_what_is_printable_shows_every_character(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert not ACTS & set(shown)
    assert printable(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text


@given(TEXTS)
def test_lines_stay_lines(text: str) -> None:
    assert printable(text, keep="\n").count("\n") == text.count("\n")


@given(TEXTS)
def test_json_says_the_same(text: str) -> None:
    written = json.dumps({text: [text, 1]}, ensure_ascii=False, indent=2)
    shown = json_escaped(written)
    assert json.loads(shown) == json.loads(written)
    assert shown.replace("\n", "").isprintable()
    whole = without_surrogates(written)
    whole.encode()
    assert json.loads(whole) == json.loads(written)


def test_letters_of_any_language_are_left_alone() -> None:
    for text in ("naïve Straße", "数据 データ", "данные", "नमस्ते", "😀", "a\\b"):
        assert printable(text) == text


class Screen(io.TextIOWrapper):
    """A stdout that says it is a terminal, or that it is none."""

    def __init__(self, *, terminal: bool) -> None:
        self._written = io.BytesIO()
        super().__init__(self._written, encoding="utf-8", write_through=True)
        self._is_terminal = terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def text(self) -> str:
        return self._written.getvalue().decode()


def on_terminal(monkeypatch: pytest.MonkeyPatch, *, width: str = "200") -> Screen:
    made = Screen(terminal=True)
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("COLUMNS", width)
    return made


@pytest.mark.parametrize("width", ["200", "12"])
def test_cells_and_names_of_a_table(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    terminal = on_terminal(monkeypatch, width=width)
    row = [EVIL, ["two\nlines", EVIL], {"a": EVIL}, EVIL.encode(errors="replace"), "two\nlines"]
    Output(color="never").table([EVIL, "b", "c", "d", "e"], [row], None)
    assert not ACTS & set(terminal.text)
    shown = "".join(terminal.text.split())
    assert "\\x1b]0;title\\x07" in shown
    assert "[boldred]:smile:" in shown
    assert "two\\nlines" in shown


def test_text_notes_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    Output().text(f"stored {EVIL}")
    say = Diagnostics(color="never", verbosity=1)
    say.note(EVIL)
    say.warn(EVIL)
    say.debug(EVIL)
    say.error(f"{EVIL}\n{EVIL}", EVIL)
    say.passed_on(EVIL, telling=True)

    def fails() -> None:
        try:
            raise NrtctlError(EVIL, hint=EVIL)
        except NrtctlError as error:
            raise ValueError(EVIL) from error

    assert run(fails, say, debug=True) == 1
    assert not ACTS & set(terminal.text)
    assert terminal.text.count("[bold red]:smile:") == 11


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("format", [FormatName.JSON, FormatName.JSONL])
def test_json_is_exact_everywhere(
    monkeypatch: pytest.MonkeyPatch, format: FormatName, is_terminal: bool
) -> None:
    out = Screen(terminal=is_terminal)
    monkeypatch.setattr(sys, "stdout", out)
    written = FORMATS[format](Output(), Diagnostics())
    written.write(Document({EVIL: EVIL}))
    assert json.loads(out.text) == {EVIL: EVIL}
    assert bool(ACTS & set(out.text)) == (not is_terminal)
    out.seek(0)
    out.truncate()
    whole = EVIL.replace("\udc80", "")
    line = json.dumps({"a": whole}, ensure_ascii=False).encode() + b"\n"
    written.write(Stream(lambda: [line], list))
    said = json.loads(out.text)
    assert (said[0] if format == "json" else said) == {"a": whole}
    assert bool(ACTS & set(out.text)) == (not is_terminal)


@pytest.mark.parametrize("at", range(1, 12))
def test_bytes_are_exact_in_a_pipe_and_safe_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    data = b"1\t\xc3\xa9\x1b[2J\xff\xe2\x80\xae\n"
    for is_terminal, said in ((False, data), (True, "1\té\\x1b[2J\\xff\\u202e\n".encode())):
        out = Screen(terminal=is_terminal)
        monkeypatch.setattr(sys, "stdout", out)
        Output().raw([data[:at], data[at:]])
        assert out.buffer.getvalue() == said  # type: ignore[attr-defined]
