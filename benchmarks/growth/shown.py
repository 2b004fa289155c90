"""Tables, sentences and pictures of how cost grows. Pure, but for the file of `draw`.

Called by `__main__`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.markdown import number, table

CLICKHOUSE = "ClickHouse, CPU s a million"
CONSUMER = "consumer, CPU s a million"
TOGETHER = "together, CPU s a million"
MEMORY = "consumer, MB"
ENGINE_MEMORY = "ClickHouse, MB"
RATE = "messages a second"
WIDE = 30
LEAST = 1e-3
"""A figure below this is taken for as much: the clock of CPU time is coarse."""


@dataclass(frozen=True, slots=True)
class Growth:
    """
    Args:
        what: that there is more and more of, as in "events".
        points: how much of it, with figures by name; the amounts are above 0 and grow.
        told: figures that the sentences are about, the main one first, and their names there.
    """

    what: str
    points: Sequence[tuple[int, Mapping[str, float]]]
    told: Mapping[str, str]

    def table(self) -> str:
        names = list(self.points[0][1])
        rows = [
            [f"{amount:,}", *(number(figures[name]) for name in names)]
            for amount, figures in self.points
        ]
        return table([self.what, *names], rows)

    def sentences(self) -> list[str]:
        """One for each step, and one from the first to the last where there are several."""
        steps = list(zip(self.points, self.points[1:], strict=False))
        if len(steps) > 1:
            steps.append((self.points[0], self.points[-1]))
        return [self._sentence(*step) for step in steps]

    def _sentence(
        self, first: tuple[int, Mapping[str, float]], last: tuple[int, Mapping[str, float]]
    ) -> str:
        costs = [(name, f"{last[1][name] / max(first[1][name], LEAST):.2f}") for name in self.told]
        (name, cost), *rest = costs
        listed = ", ".join(f"{self.told[each]} {ratio}" for each, ratio in rest)
        more = number(last[0] / first[0]).removesuffix(".00").removesuffix(".0")
        return (
            f"{more} times the {self.what} ({first[0]:,} to {last[0]:,}) cost {cost} times "
            f"{self.told[name]}: {listed}."
        )


def draw(found: Sequence[Growth], path: Path) -> None:
    """An SVG with a row for each growth: what is told of it, and the rest.

    Raises:
        ImportError: there is no matplotlib.
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2 * len(found)), layout="constrained")
    panels = figure.subplots(len(found), 2, squeeze=False)
    for one, (costs, others) in zip(found, panels, strict=True):
        amounts = [amount for amount, _ in one.points]
        names = list(one.points[0][1])
        for panel, chosen in ((costs, _costs(names)), (others, _memory(names))):
            for name in chosen:
                values = [figures[name] for _, figures in one.points]
                panel.plot(amounts, values, marker="o", label=name)
            panel.set_xscale("log")
            if _wide(one, chosen):
                panel.set_yscale("log")
            else:
                panel.set_ylim(bottom=0)
            panel.set_xticks(amounts, [f"{amount:,}" for amount in amounts])
            panel.minorticks_off()
            panel.set_xlabel(one.what)
            panel.grid(alpha=0.3)
            panel.legend(fontsize="small")
    figure.savefig(path, format="svg")


def _wide(one: Growth, names: Sequence[str]) -> bool:
    """Whether the small figures would lie on the axis beside the large ones."""
    values = [figures[name] for _, figures in one.points for name in names]
    return max(values) > WIDE * max(min(values), LEAST)


def _memory(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.endswith(", MB")]


def _costs(names: Sequence[str]) -> list[str]:
    return [name for name in names if " s" in name and name != RATE]
