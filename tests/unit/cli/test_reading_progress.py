"""How far reading files has come is said once it takes a while, and goes on being said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nrtctl.cli import reading_progress
from nrtctl.cli.diagnostics import Diagnostics
from nrtctl.cli.reading_progress import NOTE_SECONDS, ReadingProgress
from nrtctl.producer.sources.files import open_records
from nrtctl.producer.sources.files.kinds import Reading


class Told(Diagnostics):
    """Keeps what is said."""

    def __init__(self, *, on_a_terminal: bool) -> None:
        super().__init__()
        self.on_a_terminal = on_a_terminal
        self.notes: list[str] = []
        self.lines: list[str] = []

    @property
    def interactive(self) -> bool:
        return self.on_a_terminal

    def note(self, text: str) -> None:
        self.notes.append(text)

    def live(self, text: str) -> None:
        self.lines.append(text)


def clock(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step


def read(tmp_path: Path, say: Told, *, step: float) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(b'{"n":1}\n' * 100)
    ticks = clock(step)
    with open_records([str(path)], Reading()) as records:
        progress = ReadingProgress(say, "trying the pipeline", records, lambda: next(ticks))
        with progress.shown():
            assert len(list(progress.of(records))) == 100


def test_a_line_lives_on_a_terminal_and_goes_at_the_end(tmp_path: Path) -> None:
    say = Told(on_a_terminal=True)
    read(tmp_path, say, step=1)
    path = tmp_path / "orders.jsonl"
    assert say.lines[0] == f"trying the pipeline: 1 message so far, 100 % of {path} read"
    assert len(say.lines) == 101
    assert say.lines[-1] == ""
    assert say.notes == []


def test_elsewhere_there_is_a_note_now_and_then(tmp_path: Path) -> None:
    say = Told(on_a_terminal=False)
    read(tmp_path, say, step=NOTE_SECONDS / 10)
    assert len(say.notes) == 10
    assert say.notes[0].startswith("trying the pipeline: 10 messages so far, 100 % of ")
    quick = Told(on_a_terminal=False)
    read(tmp_path, quick, step=0)
    assert (quick.notes, quick.lines) == ([], [""])


@pytest.mark.parametrize("on_a_terminal", [True, False])
def test_the_first_word_needs_no_message(
    monkeypatch: pytest.MonkeyPatch, on_a_terminal: bool
) -> None:
    monkeypatch.setattr(reading_progress, "AFTER_SECONDS", 0)
    say = Told(on_a_terminal=on_a_terminal)
    progress = ReadingProgress(say, "trying the draft on 5 messages")
    with progress.shown():
        while not (say.lines if on_a_terminal else say.notes):
            pass
    assert (say.lines if on_a_terminal else say.notes)[0] == "trying the draft on 5 messages"
