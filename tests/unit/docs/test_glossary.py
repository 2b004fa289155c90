"""The glossary has the words that the other pages use, each once, and the pages lead to it."""

from __future__ import annotations

import re

import pytest

from tests.plugins.doc_pages import PAGES, ROOT, name_of

GLOSSARY = ROOT / "docs" / "glossary.md"
TERMS = re.findall(r"^### (.+)$", GLOSSARY.read_text(), re.M)
OTHERS = {name_of(page): page.read_text() for page in PAGES if page != GLOSSARY}


def test_each_term_is_there_once() -> None:
    assert len(TERMS) > 40
    assert len({term.lower() for term in TERMS}) == len(TERMS)


@pytest.mark.parametrize("term", TERMS)
def test_each_term_is_used_by_a_page(term: str) -> None:
    text = re.sub(r"\s+", " ", " ".join(OTHERS.values())).lower()
    assert re.search(rf"\b{term.lower()}", text)


@pytest.mark.parametrize("term", TERMS)
def test_each_is_said_in_a_few_sentences(term: str) -> None:
    text = GLOSSARY.read_text().partition(f"### {term}\n")[2].partition("\n#")[0].strip()
    assert text.endswith((".", "`."))
    assert len(text.split()) < 60


def test_pages_lead_to_it() -> None:
    assert "docs/glossary.md" in OTHERS["README.md"]
    linked = {name for name, text in OTHERS.items() if "glossary.md#" in text}
    assert len(linked) >= 6
