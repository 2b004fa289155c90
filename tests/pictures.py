"""Makes the pictures of the docs anew, from a real run: `make pictures`.

A pipeline at work in a stack of its own; the terminal view of it by rich's SVG export, and the
dashboard by Chromium, light and dark. Takes a minute and a half.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console

from nrtctl.config.load import load_config
from nrtctl.stats.watcher import Watcher
from nrtctl.view.glyphs import UNICODE
from nrtctl.view.history import History
from nrtctl.view.screen import Size, draw
from nrtctl.view.state import State
from tests.plugins.busy import pipeline_at_work
from tests.plugins.stack import Project

DOCS = Path(__file__).parent.parent / "docs"
SIZE = Size(100, 30)
LOOKS = 45
WARM_UP = 60
"""Seconds before the pictures: the window is full then."""


def terminal_view(project: Project) -> str:
    """SVG that asks no other host, as rich's own would for its font."""
    os.environ |= project.environ
    os.chdir(project.directory)
    loaded = load_config(file=None, profile=None, overrides=(), environ=None)
    watcher = Watcher(loaded.config, loaded.state_dir)
    past = History()
    for _ in range(LOOKS):
        shot = watcher.look()
        past.add(shot)
        time.sleep(1)
    watcher.close()
    console = Console(record=True, width=SIZE.width, height=SIZE.height, file=io.StringIO())
    for line in draw(shot, past, State(), SIZE, UNICODE, now=shot.time, interval=1):
        console.print(line, no_wrap=True, crop=True)
    svg = console.export_svg(title="nrtctl stats", unique_id="nrtctl-stats")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def dashboard(project: Project) -> None:
    running = project.start("dashboard", "--port", "0", "--by", "event_type")
    try:
        assert running.stdout
        address = running.stdout.readline().decode().strip()
        time.sleep(LOOKS)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": 1280, "height": 1000},
                    color_scheme=scheme,  # type: ignore[arg-type]
                )
                page.goto(address)
                page.locator("#partitions tbody tr").first.wait_for()
                page.screenshot(path=DOCS / f"dashboard-{scheme}.png", full_page=True)
            browser.close()
    finally:
        running.terminate()
        running.communicate()


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as directory,
        pipeline_at_work(Path(directory), rate=1500, workers=2) as project,
    ):
        time.sleep(WARM_UP)
        (DOCS / "stats.svg").write_text(terminal_view(project))
        dashboard(project)
        os.chdir(DOCS)
    print("made stats.svg, dashboard-light.png and dashboard-dark.png in docs/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
