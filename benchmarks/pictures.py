"""Makes the pictures of the docs anew, from a real run: `make pictures`.

A pipeline at work in a stack of its own; the terminal view of it by rich's SVG export, and the
dashboard by Chromium, light and dark. Takes two and a half minutes, and ends with its stack after
six, or when it is interrupted or terminated; the pictures are written at the end, all of them.
"""

from __future__ import annotations

import io
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import expect, sync_playwright
from rich.console import Console

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
MOST_SECONDS = 360
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


LETTERS, SQL = "/letters", "/sql"
STATEMENT = """SELECT event_type, count() AS events, round(avg(request_latency_ms)) AS latency_ms
FROM events GROUP BY event_type ORDER BY events DESC"""


def dashboard_view(printed: str, scheme: Literal["light", "dark"], path: str = "/") -> bytes:
    """PNG. Args: printed: the address with its token; path: of a page."""
    address, _, token = printed.partition("/#")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme=scheme)
        page.goto(f"{address}{path}#{token}")
        if path == LETTERS:
            page.locator("#list tbody tr").first.wait_for()
            page.select_option("#reason", "wrong type")
            expect(page.locator("#found")).to_contain_text("shown")
            page.locator("#list tr", has_text="request_latency_ms").locator("button").first.click()
            page.locator("#one dl").wait_for()
            page.evaluate("scrollTo(0, 0)")
        elif path == SQL:
            page.locator("#statement").wait_for()
            page.wait_for_function("document.querySelector('#statement').value")
            page.fill("#statement", STATEMENT)
            page.click("#run")
            page.locator("#rows table").wait_for()
        else:
            page.locator("#partitions tbody tr").first.wait_for()
        page.wait_for_timeout(1000)
        picture = page.screenshot(full_page=path != LETTERS)
        browser.close()
        return picture


@contextmanager
def dashboard(project: Project) -> Iterator[str]:
    """The address that it prints."""
    running = project.start("dashboard", "--port", "0", "--by", "event_type")
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
    with (
        tempfile.TemporaryDirectory() as directory,
        pipeline_at_work(Path(directory), rate=600, workers=2) as project,
        dashboard(project) as address,
    ):
        pictures = {"stats.svg": terminal_view(project).encode()}
        pictures["dashboard-light.png"] = dashboard_view(address, "light")
        pictures["dashboard-dark.png"] = dashboard_view(address, "dark")
        pictures["dashboard-letters.png"] = dashboard_view(address, "light", LETTERS)
        pictures["dashboard-sql.png"] = dashboard_view(address, "dark", SQL)
    for name, content in pictures.items():
        (DOCS / name).write_bytes(content)
    print(f"made {', '.join(pictures)} in docs/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
