"""The result as a table in Markdown, for the terminal and for docs/reliability.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.chaos.lane import Outcome


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a fault, in the order of first appearance, and one of totals."""
    by_fault: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_fault.setdefault(outcome.of.fault.name, []).append(outcome)
    lines = [
        "| fault | tried: embedded | tried: Apache | in flight | lost | duplicated | failed "
        "| recovered after s: median | most |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_line(name, by_fault[name]) for name in sorted(by_fault)]
    return "\n".join([*lines, _line("**all**", outcomes)])


def _line(name: str, outcomes: Sequence[Outcome]) -> str:
    tried = [each.of.broker for each in outcomes]
    found = [each.finding for each in outcomes if each.finding is not None]
    recoveries = [each.recovery for each in outcomes if each.recovery is not None]
    seconds = [each.seconds for each in recoveries]
    in_flight = sum(each.in_flight for each in recoveries)
    cells = [
        name,
        str(tried.count("embedded")),
        str(tried.count("apache")),
        f"{in_flight}/{len(recoveries)}",
        str(sum(each.lost for each in found)),
        str(sum(each.duplicated for each in found)),
        str(sum(1 for each in outcomes if each.problem)),
        f"{median(seconds):.1f}" if seconds else "",
        f"{max(seconds):.1f}" if seconds else "",
    ]
    return f"| {' | '.join(cells)} |"
