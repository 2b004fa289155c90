"""The site's navigation is the README's list, and the pages are what GitHub makes of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from benchmarks.site import as_python_markdown
from tests.plugins.doc_pages import ROOT

LIST = re.findall(
    r"^\d\. \*\*(\w+)\*\*: ((?:.*\n)+?)(?=\d\.|\n)", (ROOT / "README.md").read_text(), re.M
)


def navigation() -> list[tuple[str, list[str]]]:
    """Sections with their pages, those of sections in sections among them."""

    def paths(entries: Any) -> list[str]:
        if isinstance(entries, str):
            return [entries]
        values = entries.values() if isinstance(entries, dict) else entries
        return [path for each in values for path in paths(each)]

    text = (ROOT / "mkdocs.yml").read_text()
    loaded = yaml.safe_load(re.sub(r"!!python/\S+", "", text))
    return [(name, paths(pages)) for each in loaded["nav"] for name, pages in each.items()]


def test_the_sections_are_those_of_the_readme() -> None:
    assert [name for name, _ in navigation()] == [name for name, _ in LIST]
    assert len(LIST) == 7


@pytest.mark.parametrize(("section", "text"), LIST)
def test_a_section_has_the_pages_that_the_readme_has_in_the_same_order(
    section: str, text: str
) -> None:
    pages = dict(navigation())[section]
    linked: list[str] = re.findall(r"\]\(([\w./-]+\.md)\)", text)
    assert [page for page in pages if page in linked] == linked


def test_what_python_markdown_reads_otherwise_is_written_differently() -> None:
    page = """\
Text:
- one
  goes on

  ```sh
  - no item
  ```
- two

10. ten

    more

<!-- output varies -->
```console
<!-- shown -->
```
"""
    assert (
        as_python_markdown(page)
        == """\
Text:

- one
    goes on

    ```sh
    - no item
    ```

- two

10. ten

    more

```console
<!-- shown -->
```
"""
    )
