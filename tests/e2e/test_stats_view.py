"""The live view of `nrtctl stats`, in a terminal as a person has it, over a pipeline at work."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.stack import COMMAND, Project
from tests.plugins.terminal import ALTERNATE_OFF, Terminal

COLOUR = re.compile(rb"\x1b\[[0-9;]*(?<![0-9])(?:3[0-7]|9[0-7]|38;5;[0-9]+)m")
STYLE = re.compile(rb"\x1b\[[0-9;]*m")


def view(
    project: Project,
    *arguments: str,
    width: int = 80,
    height: int = 24,
    anew: bool = False,
    **environ: str,
) -> Terminal:
    return project.terminal(
        "stats", "--interval", "300ms", *arguments,
        width=width, height=height, environ=project.environ | environ, anew=anew,
    )  # fmt: skip


def with_numbers(text: str) -> bool:
    return bool(re.search(r"rows stored [1-9]", text)) and bool(re.search(r"in +[1-9]", text))


def test_it_shows_the_pipeline_and_its_keys_work(busy: Project) -> None:
    # Taller than usual: a verdict of two lines takes a row from what is below it.
    with view(busy, height=30, anew=True) as terminal:
        text = terminal.wait_for(with_numbers)
        assert "user_events → " in text
        for each in ("Partitions", "p99", "Consumers", "active parts", "dead letters"):
            assert each in text
        terminal.wait_for("wrong type")
        terminal.press("p")
        held = terminal.wait_for("PAUSED at")
        terminal.press("/")
        terminal.wait_for("filter:")
        terminal.press("Not JSON\r")
        text = terminal.wait_for(lambda text: "wrong type" not in text)
        assert "not JSON" in text
        assert held.splitlines()[0] == text.splitlines()[0]
        terminal.press("\x1b")
        terminal.wait_for("wrong type")
        terminal.press("s")
        text = terminal.wait_for("wrote nrtctl-stats-")
        name = re.search(r"nrtctl-stats-\w+(-\d+)?\.json", text)
        assert name
        written = json.loads((busy.directory / name[0]).read_text())
        assert written["topic"] == "user_events"
        assert f"rows stored {written['stored']:,}" in text
        terminal.press("?")
        terminal.wait_for("this help")
        terminal.press("x")
        terminal.wait_for("Partitions")
        terminal.press("p")
        terminal.wait_for(
            lambda text: "PAUSED" not in text and f"stored {written['stored']:,}" not in text
        )
        terminal.press("q")
        assert terminal.wait_for_end() == 0
        terminal.assert_restored()
        assert COLOUR.search(terminal.raw)


def test_it_follows_the_size_of_the_terminal_and_ctrl_c_gives_it_back(busy: Project) -> None:
    with view(busy, width=120, height=40) as terminal:
        terminal.wait_for(lambda text: with_numbers(text) and "committed" in text)
        terminal.resize(40, 20)
        # What was drawn for the old size may still be on its way.
        text = terminal.wait_for(
            lambda text: "Records a second" in text and "q quit" in text and "Consumers" not in text
        )
        assert max(map(len, text.splitlines())) <= 40
        terminal.press("j" * 20)
        terminal.wait_for(lambda text: "Records a second" not in text)
        terminal.resize(160, 45)
        terminal.press("k" * 20)
        terminal.wait_for(lambda text: "committed" in text and "Consumers" in text)
        terminal.press("\x03")
        assert terminal.wait_for_end() == 130
        terminal.assert_restored()


@pytest.mark.parametrize(
    ("arguments", "environ", "styles"),
    [((), {"NO_COLOR": "1"}, True), (("--color", "never"), {}, False)],
)
def test_without_colour_it_says_the_same(
    busy: Project, arguments: tuple[str, ...], environ: dict[str, Any], styles: bool
) -> None:
    with view(busy, *arguments, **environ) as terminal:
        text = terminal.wait_for(with_numbers)
        assert re.search("[●▲■○] (ok|falling behind|stalled|stopped|unknown)", text)
        terminal.press("q")
        assert terminal.wait_for_end() == 0
        terminal.assert_restored()
        assert not COLOUR.search(terminal.raw)
        assert bool(STYLE.search(terminal.raw)) is styles


def test_sigterm_gives_the_terminal_back(busy: Project) -> None:
    with view(busy) as terminal:
        terminal.wait_for("Partitions")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait_for_end() == 0
        terminal.assert_restored()


def test_a_condition_that_holds_gives_the_terminal_back_and_ends_it_with_5(stack: Project) -> None:
    with view(stack, "--fail-if", "lag_records >= 500") as terminal:
        terminal.wait_for("Partitions")
        terminal.press("p")
        terminal.wait_for("PAUSED at")
        stack.run("produce", "--count", "500")
        assert terminal.wait_for_end() == 5
        terminal.assert_restored()
        said = terminal.raw.rpartition(ALTERNATE_OFF)[2]
        assert b"lag_records >= 500: it is 500" in said


def test_a_terminal_that_closes_ends_it(busy: Project) -> None:
    with view(busy) as terminal:
        terminal.wait_for("Partitions")
        terminal.hang_up()
        assert terminal.process.wait(90) == 0


def test_without_a_keyboard_it_shows_and_ctrl_c_ends_it(busy: Project) -> None:
    command = f"exec {' '.join(COMMAND)} stats --interval 300ms < /dev/null"
    with Terminal(["sh", "-c", command], cwd=busy.directory, environ=busy.environ) as terminal:
        terminal.wait_for(with_numbers)
        terminal.press("\x03")
        assert terminal.wait_for_end() == 130
        terminal.assert_restored()


def test_ctrl_z_gives_the_terminal_back_and_takes_it_again(busy: Project) -> None:
    with view(busy, anew=True) as terminal:
        terminal.wait_for("Partitions")
        terminal.press("\x1a")
        _, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        terminal.wait_for(lambda _text: ALTERNATE_OFF in terminal.raw)
        terminal.assert_restored()
        written = len(terminal.raw)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for(lambda text: len(terminal.raw) > written and "Partitions" in text)
        terminal.press("q")
        assert terminal.wait_for_end() == 0
        terminal.assert_restored()


def test_of_several_pipelines_one_is_opened_and_left_again(tmp_path: Path) -> None:
    script = (
        "from rich.console import Console\n"
        "from nrtctl.view.live import watch\n"
        "from tests.unit.view.sample import snapshot\n"
        "shots = {name: snapshot(topic=f'topic-{name}') for name in ('one', 'two', 'three')}\n"
        "watch(lambda: shots, interval=0.1, console=Console())\n"
    )
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with Terminal([sys.executable, "-c", script], cwd=tmp_path, environ=environ) as terminal:
        text = terminal.wait_for("3 falling behind")
        assert all(name in text for name in ("one", "two", "three"))
        terminal.press("j\r")
        terminal.wait_for("two: topic-two")
        terminal.press("s")
        terminal.wait_for("wrote nrtctl-stats-")
        terminal.press("\x1b")
        terminal.wait_for("3 pipelines")
        terminal.press("/three\r")
        terminal.wait_for("filter: three")
        terminal.press("\r")
        terminal.wait_for("three: topic-three")
        terminal.press("q")
        assert terminal.wait_for_end() == 0
        terminal.assert_restored()
    (written,) = tmp_path.glob("nrtctl-stats-*.json")
    assert json.loads(written.read_text())["topic"] == "topic-two"


def test_an_error_in_the_program_gives_the_terminal_back(tmp_path: Path) -> None:
    script = (
        "from rich.console import Console\n"
        "from nrtctl.view.live import watch\n"
        "def look(): raise RuntimeError('an error in the look')\n"
        "watch(look, interval=0.1, console=Console())\n"
    )
    with Terminal([sys.executable, "-c", script], cwd=tmp_path, environ=os.environ) as terminal:
        assert terminal.wait_for_end() == 1
        terminal.assert_restored()
        assert b"an error in the look" in terminal.raw


def _pid(project: Project, part: str) -> int:
    return next(int(each["pid"]) for each in project.json("status") if each["part"] == part)


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        pytest.param("clickhouse", "ClickHouse gone", marks=pytest.mark.long),
        ("kafka", "Kafka gone"),
    ],
)
def test_a_server_that_goes_is_named_and_comes_back(stack: Project, name: str, gone: str) -> None:
    stack.run("produce", "--count", "500")
    stack.run("consume", "--until-end")
    with view(stack, height=30) as terminal:
        terminal.wait_for("rows stored 500")
        os.kill(_pid(stack, name), signal.SIGKILL)
        terminal.wait_for(gone)
        stack.run("up")
        terminal.wait_for(lambda text: gone not in text and "rows stored 500" in text)
        terminal.press("q")
        assert terminal.wait_for_end() == 0
