"""Texts of schemas in the local registry, as far as they are looked at before they are parsed."""

from __future__ import annotations

import pytest

from nrtctl.local.registry.schemas import MOST_LEVELS, accepted, loads


@pytest.mark.parametrize("text", ['"' + '\\"[' * 300, '"' + "[" * 300 + "\\"])
def test_a_text_that_does_not_end_is_looked_at_once(text: str) -> None:
    """And not from each of its quotes: what is in it is no level."""
    with pytest.raises(ValueError, match="Unterminated string"):
        loads(text)


def test_levels_are_counted_outside_of_texts() -> None:
    assert loads('["]\\"[", {}]') == [']"[', {}]
    with pytest.raises(ValueError, match=f"more than {MOST_LEVELS} levels"):
        loads("[" * 200 + '"]"' + "]" * 200)


def test_blanks_in_a_text_are_kept() -> None:
    schema = accepted("JSON", '{ "a \\" b" :\n 1 }', (), (), normalize=False)
    assert schema.text == '{"a \\" b":1}'
