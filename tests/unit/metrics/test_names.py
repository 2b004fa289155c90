"""Each metric is named once, and the documentation says the same of it."""

from __future__ import annotations

import re
from operator import attrgetter
from pathlib import Path

import pytest

from nrtctl.metrics import names
from nrtctl.metrics.names import COMMANDS, Name

ROOT = Path(__file__).parents[3]
ALL = {each for metrics in COMMANDS.values() for each in metrics}
ROW = re.compile(r"^\| `(nrtctl_\w+)` \| (\w+)[^|]* \| ([^|]*)\|", re.MULTILINE)
SECTIONS = {
    "consume": "`consume`", "produce": "`produce`", "listen": "`listen`",
    "stats": "`stats --serve`",
}  # fmt: skip


def test_a_name_has_one_meaning_and_one_set_of_labels() -> None:
    assert len({each.name for each in ALL}) == len(ALL)
    defined = {each for each in vars(names).values() if isinstance(each, Name)}
    assert defined == ALL


@pytest.mark.parametrize("metric", sorted(ALL, key=attrgetter("name")))
def test_names_follow_prometheus(metric: Name) -> None:
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.meaning.endswith(".")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_documentation_has_each_with_its_kind_and_labels(command: str) -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {SECTIONS[command]}\n")[2].partition("\n## ")[0]
    documented = [
        (name, kind, tuple(re.findall(r"\w+", re.sub(r"\(.*?\)", "", labels))))
        for name, kind, labels in ROW.findall(section)
        if name != "nrtctl_build_info"
    ]
    assert documented == [(each.name, each.kind, each.labels) for each in COMMANDS[command]]


def test_no_other_module_names_a_metric() -> None:
    found = [
        path.name
        for path in (ROOT / "src/nrtctl/metrics").glob("*.py")
        if path.name not in {"names.py", "collector_registry.py"}
        and re.search(r"""["']nrtctl_\w""", path.read_text(encoding="utf-8"))
    ]
    assert found == []
