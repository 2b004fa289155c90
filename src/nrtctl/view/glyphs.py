"""Sparklines and bars as text, in Unicode or in ASCII. Pure; used by the blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What a terminal can show. `steps`: from the lowest to the highest; `ground`: where nothing is
    known; `most`: what stands before the highest value of a course."""

    steps: str
    ground: str
    most: str
    full: str
    empty: str
    rule: str
    gap: str
    marks: dict[str, str]

    def sparkline(self, values: Sequence[float | None], width: int) -> str:
        """The last `width` values, scaled from 0 to the highest of them; the ground where
        there is none. On the right is the newest."""
        shown = values[-width:] if width > 0 else ()
        highest = max((each for each in shown if each is not None), default=0.0)
        last = len(self.steps) - 1
        line = "".join(
            self.ground
            if each is None
            else self.steps[min(last, round(max(0.0, each) / highest * last))]
            if highest > 0
            else self.steps[0]
            for each in shown
        )
        return line.rjust(max(0, width), self.ground)

    def bar(self, part: float, whole: float, width: int) -> str:
        """`part` of `whole`; what is more than nothing shows."""
        if width <= 0:
            return ""
        share = min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
        filled = max(1, round(share * width)) if share > 0 else 0
        return self.full * filled + self.empty * (width - filled)


UNICODE = Glyphs(
    "▁▂▃▄▅▆▇█", "·", "≤", "█", "·", "─", "…",
    {"good": "●", "warn": "▲", "bad": "■", "unknown": "○", "arrow": "→", "down": "↓"},
)  # fmt: skip
ASCII = Glyphs(
    "_.-~=+*#", " ", "<=", "#", ".", "-", "~",
    {"good": "o", "warn": "^", "bad": "X", "unknown": "?", "arrow": ">", "down": "v"},
)  # fmt: skip


def for_encoding(encoding: str) -> Glyphs:
    """Unicode where the terminal's encoding has it."""
    return UNICODE if encoding.lower().replace("-", "").startswith("utf") else ASCII
