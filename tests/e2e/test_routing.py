"""One topic into several tables by a condition, from the file to verify and its repair."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.plugins import damage
from tests.plugins.stack import Project

MESSAGES = 400
LARGE = 300
KINDS = ("order", "click", "view", "order")
SMALL = ("--set", "batch.max_rows=100", "--set", "consumer.session_timeout=6s")
OUT = "_target = '{} left out'"

THREE = f"""
[pipeline]
topic = "shop"
partitions = 2
route = "first"
fields = {{ kind = "String", n = "UInt32" }}

[pipelines.orders]
when = "kind = 'order'"

[pipelines.large]
when = "n >= {LARGE} or header('large') = 'yes'"

[pipelines.clicks]
when = "kind in ('click', 'tap')"
unmatched = "dead letter"
"""


def message(number: int) -> Any:
    if number % 50 == 0:
        return {"kind": "order", "n": "many"}
    if number % 50 == 1:
        return ["no object"]
    return {"kind": KINDS[number % 4], "n": number}


def fate(number: int) -> tuple[str, str]:
    """The pipeline that takes the message, and the reason of its dead letter."""
    given = message(number)
    kind = given["kind"] if isinstance(given, dict) else ""
    if kind == "order":
        return "orders", "wrong type" if number % 50 == 0 else ""
    if kind and number >= LARGE:
        return "large", ""
    return "clicks", "" if kind == "click" else "unmatched"


@pytest.fixture
def three(stack: Project, tmp_path: Path) -> Project:
    path = stack.directory / "nrtctl.toml"
    servers, url = re.findall(r"^(?:bootstrap_servers|url) = .*$", path.read_text(), re.MULTILINE)
    path.write_text(f"[kafka]\n{servers}\n[clickhouse]\n{url}\n{THREE}")
    (stack.directory / "metrics.json").unlink()
    stack.run("up")
    lines = "".join(json.dumps(message(number)) + "\n" for number in range(MESSAGES))
    book = str(tmp_path / "ledger")
    stack.run(
        "produce", "--pipeline", "orders", "--input", "-", "--ledger", book, stdin=lines.encode()
    )
    return stack


def content(project: Project) -> Any:
    columns = "_partition, _offset"
    tables = [
        project.rows(f"SELECT {columns}, kind, n FROM {name} ORDER BY ALL")
        for name in ("orders", "large", "clicks")
    ]
    letters = f"SELECT {columns}, _target, reason, field, value FROM dead_letters ORDER BY ALL"
    return [*tables, project.rows(letters)]


def counted(project: Project, *, code: int = 0) -> dict[str, tuple[int, ...]]:
    """Pipeline to stored, dead letters, left out, missing and doubled."""
    names = ("stored", "dead_letters", "left_out", "missing", "duplicated")
    report = project.json("verify", code=code)["pipelines"]
    return {name: tuple(each[key] for key in names) for name, each in report.items()}


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_each_message_has_one_table_whatever_is_killed_and_taken(
    three: Project, tmp_path: Path, whole: bool
) -> None:
    """The whole has two kills, and a load into a new table."""
    kills = (("orders", "insert-answered=2"), ("clicks", "insert-sending=3"))
    for name, point in kills if whole else kills[:1]:
        three.environ["NRTCTL_FAULT"] = point
        killed = three.run("consume", "--pipeline", name, "--until-end", *SMALL, code=None)
        assert killed.returncode == -9, point
    del three.environ["NRTCTL_FAULT"]
    said = three.run("consume", "--until-end", *SMALL).stdout
    assert len(re.findall(rb"left out [\d,]+ messages?, in", said)) == 3

    fates = Counter(map(fate, range(MESSAGES)))
    taken = Counter[str]()
    for (name, _), number in fates.items():
        taken[name] += number
    right = {
        name: (fates[name, ""], taken[name] - fates[name, ""], MESSAGES - taken[name], 0, 0)
        for name in ("orders", "large", "clicks")
    }
    assert counted(three) == right
    assert fates["clicks", "unmatched"] > fates["clicks", ""] > 0
    listed = three.json("dlq", "list", "--pipeline", "clicks", "--limit", str(MESSAGES))
    assert Counter(each["reason"] for each in listed) == {"unmatched": right["clicks"][1]}
    ledger = three.json(
        "verify", "--pipeline", "large", "--ledger", str(tmp_path / "ledger"), code=None
    )["ledger"]
    assert (ledger["left_out"], ledger["right"], ledger["ok"]) == (
        right["large"][2], right["large"][0], True,
    )  # fmt: skip

    before = content(three)
    damage.delete(three, "orders", "_offset % 7 = 2")
    damage.delete(three, "dead_letters", f"{OUT.format('large')} AND _offset % 9 = 1")
    damage.delete(three, "dead_letters", "_target = 'clicks' AND _offset % 11 = 1")
    damage.double(three, "dead_letters", f"{OUT.format('clicks')} AND _offset % 5 = 1")
    hurt = counted(three, code=5)
    assert [hurt["orders"][3] > 0, hurt["large"][3] > 0, hurt["clicks"][3] > 0] == [True] * 3
    assert hurt["clicks"][4] > 0
    assert hurt["clicks"][2] > right["clicks"][2] - hurt["clicks"][4]
    three.run("verify", "--repair", "--execute")
    assert counted(three) == right
    assert content(three) == before

    if not whole:
        return
    three.run("replay", "load", "--pipeline", "large", "--into", "large_2",
              "--swap", "--execute")  # fmt: skip
    assert counted(three) == right
    assert content(three) == before


def test_what_peek_shows_is_what_a_pipeline_takes(three: Project) -> None:
    """And what `try` says of a file; bad conditions say where."""
    conditions = [line[8:-1] for line in THREE.splitlines() if line.startswith("when")]
    objects = [each for each in map(message, range(MESSAGES)) if isinstance(each, dict)]
    right = (
        sum(each["kind"] == "order" for each in objects),
        sum(each["n"] != "many" and each["n"] >= LARGE for each in objects),
        sum(each["kind"] == "click" for each in objects),
    )
    for condition, expected in zip(conditions, right, strict=True):
        peeked = three.run("peek", "shop", "--all", "--where", condition, "-o", "jsonl").stdout
        assert len(peeked.splitlines()) == expected, condition
    given = three.directory / "some.jsonl"
    given.write_text('{"kind":"tap","n":1}\n{"kind":"order","n":1}\n{"kind":"else","n":1}\n')
    tried = three.json("try", str(given), "--pipeline", "clicks", code=5)
    assert (tried["stored"], tried["left_out"], tried["reasons"]) == (1, 1, {"unmatched": 1})

    path = three.directory / "nrtctl.toml"
    before = path.read_text()
    path.write_text(before.replace("kind = 'order'", "kind == = 'order'"))
    done = three.run("up", code=2)
    assert b"nrtctl.toml:13 [pipelines.orders]: pipeline.when: " in done.stderr
    assert b"at character 9 (\"= 'order'\") there should be a value" in done.stderr
