"""Builds the site of the documentation, build/site, from the pages that GitHub shows: `make docs`.

MkDocs wants all pages below one directory, and ours are README.md, docs/ and some more: a copy
of them is laid there. Nothing in it is changed but for what Python-Markdown reads otherwise than
GitHub: a comment before a fence, a list that follows a line of text, what is indented in an item.
Then the elements of each page are counted and compared with what GitHub's rules make of it: whoever
writes a page looks at one of the two only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "pages"
SITE = ROOT / "build" / "site"
_PARTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs", "examples")
_COUNTED = {
    "h1",
    "h2",
    "h3",
    "h4",
    "li",
    "ul",
    "ol",
    "pre",
    "tr",
    "code",
    "a",
    "img",
    "em",
    "strong",
}
_FENCE = re.compile(r" *```")
_COMMENT = re.compile(r" *<!-- .* -->$")
_ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def main() -> int:
    lay_pages()
    strict = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--clean"]
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    if code := subprocess.run(strict, cwd=ROOT, env=environ).returncode:
        return code
    differences = [line for page in sorted(PAGES.rglob("*.md")) for line in differing(page)]
    print("\n".join(differences) or f"the site is {SITE.relative_to(ROOT)}/index.html")
    return int(bool(differences))


def lay_pages() -> None:
    """Copy what belongs to the site below `PAGES`, with the pages as Python-Markdown reads them."""
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir(parents=True)
    for name in _PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, PAGES / name)
        else:
            shutil.copyfile(ROOT / name, PAGES / name)
    (PAGES / "tests").mkdir()
    shutil.copyfile(ROOT / "tests" / "README.md", PAGES / "tests" / "README.md")
    for page in PAGES.rglob("*.md"):
        page.write_text(as_python_markdown(page.read_text()))


def as_python_markdown(text: str) -> str:
    """The same page without comments, with an empty line before each list, and with what is in an
    item indented by four. There are no lists in lists."""
    lines: list[str] = []
    inside = False
    width = 0
    """Where the text of the item begins that the line is in; 0: it is in none."""
    together = True
    """No empty line has come in the item."""
    for line in text.splitlines():
        if _COMMENT.match(line) and not inside:
            continue
        item = None if inside else _ITEM.match(line)
        if item:
            if lines and lines[-1] and not (width and together):
                lines.append("")
            width, together = item.end(), True
        elif not line:
            together = False
        elif line and not inside and not line.startswith(" " * width):
            width = 0
        elif line and width:
            line = "    " + line[width:]
        if _FENCE.match(line):
            inside = not inside
        lines.append(line)
    return "\n".join(lines) + "\n"


def differing(page: Path) -> list[str]:
    """What the site's page has more or less of than GitHub's would."""
    name = page.relative_to(PAGES)
    where = SITE / name.with_name("index.html" if name.name == "README.md" else f"{name.stem}.html")
    ours = _count(where.read_text().partition("<article")[2].partition("</article>")[0])
    rules = MarkdownIt("commonmark").enable("table")
    githubs = _count(rules.render((ROOT / name).read_text()))
    return [
        f"{name}: {ours[tag]} <{tag}> in the site, {githubs[tag]} on GitHub"
        for tag in sorted(_COUNTED)
        if ours[tag] != githubs[tag]
    ]


def _count(html: str) -> Counter[str]:
    counter = _Counter()
    counter.feed(html)
    return counter.found


class _Counter(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = dict(attrs).get("class") or ""
        if "headerlink" not in classes and not classes.startswith("md-"):
            self.found[tag] += 1


if __name__ == "__main__":
    sys.exit(main())
