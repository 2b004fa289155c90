"""The reader of fenced blocks: what it finds, what it refuses, and what it takes for the same."""

from __future__ import annotations

import pytest

from tests.plugins.doc_blocks import (
    Block,
    Step,
    blocks,
    normalised,
    replaced,
    shows,
    steps,
    texts,
)


def page(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def test_blocks_of_a_page() -> None:
    text = page(
        "# Title",
        "",
        "```console",
        "$ nrtctl up",
        "```",
        "1. In a list",
        "",
        "   <!-- first: nrtctl produce -->",
        "   <!-- first: nrtctl consume -->",
        "   <!-- output varies -->",
        "   ```sh",
        "   for i in 1 2; do",
        "     nrtctl verify; done",
        "   ```",
        "<!-- not run: needs a container engine -->",
        "```sh",
        "docker ps",
        "```",
        "```json",
        "{}",
        "```",
        "```python",
        "print(1)",
        "```",
        "<!-- file: a.py -->",
        "```python",
        "x = 1",
        "```",
    )
    assert blocks(text) == [
        Block("console", 3, "$ nrtctl up\n"),
        Block(
            "sh",
            11,
            "for i in 1 2; do\n  nrtctl verify; done\n",
            varies=True,
            first=("nrtctl produce", "nrtctl consume"),
        ),
        Block("sh", 16, "docker ps\n", "needs a container engine"),
        Block("json", 19, "{}\n"),
        Block("python", 22, "print(1)\n"),
        Block("python", 26, "x = 1\n", file="a.py"),
    ]
    assert [block.runs for block in blocks(text)] == [True, True, False, False, True, True]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["```", "nrtctl up", "```"], "no language"),
        (["```bash", "nrtctl up", "```"], "bash"),
        (["```text", "$ nrtctl up", "```"], "commands in a block of plain text"),
        (["```text", "nrtctl up", "```"], "commands in a block of plain text"),
        (["```sh", "nrtctl up"], "not closed"),
        (["  ```sh", "  nrtctl up", "```"], "not closed"),
        (["````sh", "nrtctl up", "````"], "no fence"),
        (["~~~ ```sh"], "no fence"),
        (["<!-- not run: no time -->", "```sh", "nrtctl up", "```"], "unknown reason: no time"),
        (["<!-- not run -->", "```sh", "nrtctl up", "```"], "unknown mark"),
        (["<!-- notrun: takes minutes -->", "```sh", "nrtctl up", "```"], "unknown mark"),
        (["<!-- not run: takes minutes -->", "", "```sh", "nrtctl up", "```"], "before no block"),
        (["<!-- not run: takes minutes -->", "```toml", "a = 1", "```"], "without commands"),
        (["<!-- output varies -->"], "at the end"),
        (["<!-- file: a.sh -->", "```sh", "nrtctl up", "```"], "no one block of Python"),
        (["<!-- file: a -->", "<!-- file: b -->", "```python", "1", "```"], "no one block"),
    ],
)  # fmt: skip
def test_what_is_refused(lines: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        blocks(page(*lines))


def test_steps() -> None:
    block = Block(
        "console",
        1,
        "$ nrtctl up   # starts\n$ nrtctl verify \\\n    --ledger f\n0 missing\n\nerror: no\n",
    )
    up, verify = steps(block)
    assert up == Step("nrtctl up   # starts")
    assert verify == Step("nrtctl verify \\\n    --ledger f", ("0 missing", "", "error: no"))
    assert not up.fails
    assert verify.fails
    assert steps(Block("sh", 1, "a\nb\n")) == [Step("a\nb\n")]
    with pytest.raises(ValueError, match="line 7: output before"):
        steps(Block("console", 7, "done\n$ nrtctl up\n"))


@pytest.mark.parametrize(
    ("command", "endless"),
    [
        ("nrtctl dashboard", True),
        ("nrtctl stats   # live", True),
        ("nrtctl stats --by x", True),
        ("nrtctl stats -q --once", False),
        ("nrtctl stats --schema", False),
        ("nrtctl consume --metrics-port 1", True),
        ("nrtctl consume --until-end", False),
        ("nrtctl consume -o jsonl --until-end > f", False),
        ("nrtctl produce --rate 5", True),
        ("nrtctl produce --rate 5 --count 5", False),
        ("nrtctl produce --input f --rate 5", False),
        ("nrtctl verify", False),
    ],
)
def test_what_runs_until_it_is_stopped(command: str, endless: bool) -> None:
    assert Step(command).endless is endless


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("stored 7 in 1 insert, 0.8 s (25,873/s); end", "stored 7 in 12 inserts, 1.0 s (7/s); end"),
        ("disk  /home: 69.9 GiB free", "disk /home: 7.1 GiB free"),
        ("ClickHouse's clock differs by -0.021 s", "ClickHouse's clock differs by +0.000 s"),
        ("╭───── a → b ──────╮", "╭── a → b ─╮"),
        ("version  26.9.2.1", "version  27.1.10.2"),
        ("at 2026-11-29T02:53:54.579Z", "at 2027-01-02T03:04:05Z"),
        ("a   b ", "a b"),
    ],
)
def test_what_varies(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sent 20,000, failed 0", "sent 20,000, failed 1"),
        ("100,000 events", "100,001 events"),
        ("2010-12-01  54615.15", "2010-12-02  54615.15"),
        ("2026-01-01 00:00:00  7", "2026-01-01 00:01:00  7"),
        ("127.0.0.1:9092", "127.0.0.1:9093"),
        ("0.10393131495707185", "0.10393131495707186"),
    ],
)
def test_what_does_not_vary(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_what_a_page_shows() -> None:
    output = ["up", "one  made", "two  made", "ready in 0.5 s"]
    assert shows(output, output)
    assert shows(["up", "…", "ready in 12.1 s"], output)
    assert shows(["up", "one made", "two made", "…", "ready in 1 s", "…"], output)
    assert not shows(["up", "…"], ["down", *output])
    assert not shows(["up", "one made", "two made"], output)
    assert not shows(["up", "…", "ready in 12.1 ms"], output)
    assert not shows(["…", "three made", "…"], output)
    assert shows(["a.b (c)"], ["a.b (c)"])
    assert not shows(["a.b"], ["axb"])


def test_ports_are_replaced_at_once_and_as_words() -> None:
    pairs = {"9092": "8123", "8123": "1"}
    assert replaced("127.0.0.1:9092 :8123 x9092 90921", pairs) == "127.0.0.1:8123 :1 x9092 90921"


def test_json_texts_may_follow_each_other_over_several_lines() -> None:
    assert texts('{"a":\n 1}\n{"b": [2]} 3\n') == [{"a": 1}, {"b": [2]}, 3]
    assert texts("1.50", str) == ["1.50"]
    assert texts(" \n") == []
    for broken in ("{", '{"a": 1},', "{} x"):
        with pytest.raises(ValueError, match="line 1"):
            texts(broken)
