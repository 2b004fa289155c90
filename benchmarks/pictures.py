"""Makes the pictures of the docs anew, from a real run: `make pictures`.

A pipeline at work in a stack of its own; the terminal view of it by rich's SVG export, and the
dashboard's pages by Chromium, light and dark, as that of several pipelines in another stack. Takes
some four minutes, and ends with its stack after ten, or when it is interrupted or terminated; the
pictures are written at the end, all of them.
"""

from __future__ import annotations

import io
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, expect, sync_playwright
from rich.console import Console

from benchmarks.small_png import small_png
from nrtctl.config.load import load_config
from nrtctl.config.trust import Trust
from nrtctl.stats.metrics_file import FILE_NAME, read_metrics
from nrtctl.stats.watcher import Watcher
from nrtctl.view.glyphs import UNICODE
from nrtctl.view.history import History
from nrtctl.view.screen import Size, draw
from nrtctl.view.state import State
from tests.plugins.busy import pipeline_at_work
from tests.plugins.stack import Project

DOCS = Path(__file__).parent.parent / "docs"
SIZE = Size(120, 40)
SECONDS = 90
"""Of looks, one a second where the machine can, and on until all answer; the window is full after
60."""
MOST_SECONDS = 600
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


def terminal_view(project: Project) -> str:
    """SVG that asks no other host, as rich's own would for its font."""
    loaded = load_config(file=project.directory / "nrtctl.toml", environ=project.environ)
    metrics = read_metrics(project.directory / FILE_NAME, Trust.of_user({}))
    watcher = Watcher(loaded.config, loaded.state_dir, metrics=metrics)
    past, ends, shot = History(), time.monotonic() + SECONDS, None
    while time.monotonic() < ends or shot is None or shot.errors:
        shot = watcher.look()
        past.add(shot)
        time.sleep(1)
    watcher.close()
    console = Console(record=True, width=SIZE.width, height=SIZE.height, file=io.StringIO())
    for line in draw(shot, past, State(), SIZE, UNICODE, now=shot.time, interval=1):
        console.print(line, no_wrap=True, crop=True)
    svg = console.export_svg(title="nrtctl stats", unique_id="nrtctl-stats")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


STATEMENT = """SELECT event_type, count() AS events, round(avg(request_latency_ms)) AS latency_ms
FROM events GROUP BY event_type ORDER BY events DESC"""
SEVERAL = "".join(
    f"[pipelines.{name}.fields]\nid = 'UInt64'\nnote = 'Nullable(String)'\n"
    for name in ("orders", "clicks", "payments")
)


def numbers(page: Page) -> None:
    page.locator("#partitions tbody tr").first.wait_for()


def overview(page: Page) -> None:
    page.locator(".pipelines tbody tr").nth(2).wait_for()
    page.get_by_role("button", name="5 min", exact=True).click()
    expect(page.locator("#charts-note")).to_contain_text("each 5 s")


def letters(page: Page) -> None:
    """One that is mended, and not replayed."""
    page.locator("#list tbody tr").first.wait_for()
    page.select_option("#reason", "wrong type")
    expect(page.locator("#found")).to_contain_text("shown")
    page.locator("#list tr", has_text="surely wrong").locator("button").first.click()
    text = page.locator(".fix textarea")
    text.wait_for()
    text.fill(text.input_value().replace("surely wrong", "d29eaa40-84c1-44f0-ad73-b3a0d12692bc"))
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator(".fix [role=status]")).to_contain_text("It would", timeout=30_000)
    page.evaluate("scrollTo(0, document.querySelector('#find').offsetTop - 10)")


def messages(page: Page) -> None:
    page.locator("#list tbody tr").first.wait_for()
    page.locator("#list button").first.click()
    page.locator("#one dl").wait_for()
    page.evaluate("scrollTo(0, 0)")


def sql(page: Page) -> None:
    expect(page.locator("#statement")).not_to_have_value("", timeout=30_000)
    page.fill("#statement", STATEMENT)
    page.click("#run")
    page.locator("#rows table").wait_for()


PAGES: dict[str, tuple[str, Callable[[Page], None], bool]] = {
    "": ("/", numbers, True),
    "letters-": ("/letters", letters, False),
    "messages-": ("/messages", messages, False),
    "sql-": ("/sql", sql, True),
}
"""By the name of the picture: address, what is done there, and whether it is shown to its end."""

OF_SEVERAL = {"overview-": ("/", overview, True)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def dashboard_views(
    printed: str, pages: Mapping[str, tuple[str, Callable[[Page], None], bool]]
) -> Iterator[tuple[str, bytes]]:
    """Names and PNGs, light and dark. Args: printed: the address with its token."""
    address, _, token = printed.partition("/#")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        blank = browser.new_page()
        for name, (path, prepare, whole) in pages.items():
            for scheme in SCHEMES:
                page = browser.new_page(
                    viewport={"width": 1280, "height": 1000}, color_scheme=scheme
                )
                page.goto(f"{address}{path}#{token}")
                prepare(page)
                page.wait_for_timeout(1000)
                picture = page.screenshot(full_page=whole)
                yield f"dashboard-{name}{scheme}.png", small_png(blank, picture)
                page.close()
        browser.close()


@contextmanager
def several_pipelines(directory: Path) -> Iterator[Project]:
    """A stack with three of them: one at work, one that is behind, one that has nothing to do."""
    project = Project(directory)
    project.run("init")
    project.use_free_ports()
    project.use_pipelines(SEVERAL)
    try:
        project.run("up")
        for name, count in (("orders", 3000), ("clicks", 900), ("payments", 300)):
            some = ("--pipeline", name, "--count", str(count), "--rate", "300", "--invalid", "2")
            project.run("produce", *some)
            if name != "clicks":
                project.run("consume", "--pipeline", name, "--until-end")
        with project.consuming(directory / "log", "--pipeline", "orders"):
            project.run("produce", "--pipeline", "orders", "--rate", "50", "--duration", "10s")
            yield project
    finally:
        project.down()


@contextmanager
def dashboard(project: Project, *more: str) -> Iterator[str]:
    """The address that it prints."""
    running = project.start("dashboard", "--port", "0", *more)
    try:
        assert running.stdout
        yield running.stdout.readline().decode().strip()
    finally:
        running.terminate()
        running.communicate()


def end(number: int, _frame: object) -> None:
    """Once: what has been started is ended on the way out."""
    for each in ENDINGS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(f"ended by {signal.Signals(number).name}, no picture is written")


def main() -> int:
    for each in ENDINGS:
        signal.signal(each, end)
    signal.alarm(MOST_SECONDS)
    pictures: dict[str, bytes] = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        several_pipelines(Path(directory)) as project,
        dashboard(project) as address,
    ):
        pictures |= dashboard_views(address, OF_SEVERAL)
    with (
        tempfile.TemporaryDirectory() as directory,
        pipeline_at_work(
            Path(directory), rate=600, invalid=2, max_wait="auto", workers=2
        ) as project,
        dashboard(project, "--by", "event_type") as address,
    ):
        pictures["stats.svg"] = terminal_view(project).encode()
        pictures |= dashboard_views(address, PAGES)
    for name, content in pictures.items():
        (DOCS / name).write_bytes(content)
    print(f"made {', '.join(pictures)} in docs/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
