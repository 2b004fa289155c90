"""The default group names the table; what the former default had stored goes on where it stood."""

from __future__ import annotations

from pathlib import Path

from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

FORMER = ("--set", "consumer.group=nrtctl", "--set", "consumer.session_timeout=6s")


def test_offsets_of_the_former_default_are_taken_over(stack: Project, tmp_path: Path) -> None:
    stack.run("produce", "--count", "200")
    with stack.consuming(tmp_path / "log", *FORMER):
        eventually(lambda: stack.value("SELECT count() FROM events") == 200, "the first rows")
        refused = stack.run("consume", "--until-end", code=1)
        assert b"group 'nrtctl' still has 1 member storing" in refused.stderr
    stack.run("consume", "--until-end", *FORMER)  # the killed one is gone, and all is committed
    stack.run("produce", "--count", "100")
    done = stack.run("up")
    assert b"nrtctl-events continues where nrtctl stopped" in done.stdout + done.stderr
    assert stack.json("consume", "--until-end")["records"] == 100
    assert b"continues where" not in stack.run("up").stdout
    report = stack.json("verify")
    assert (report["group"], report["stored"], report["duplicated"]) == ("nrtctl-events", 300, 0)


def test_two_tables_have_two_groups(stack: Project) -> None:
    other = ("--set", "pipeline.table=others", "--set", "pipeline.rollups={}")
    stack.run("up", *other)
    stack.run("produce", "--count", "50")
    for options in ((), other):
        assert stack.json("consume", "--until-end", *options)["records"] == 50
        assert stack.json("verify", *options)["missing"] == 0
    assert stack.json("config", "show")["consumer"]["group"] in {"nrtctl-events", ""}


def test_two_databases_have_two_groups_and_an_older_shared_one_is_gone_on_from(
    stack: Project,
) -> None:
    """With one group for both, the second stored nothing and said that all is stored."""
    mine, other = "mine", "theirs"
    shared = ("--set", "consumer.group=nrtctl-events")
    set_mine, set_other = (("--set", f"clickhouse.database={each}") for each in (mine, other))
    stack.run("up", *set_mine)
    stack.run("produce", "--count", "50")
    assert stack.json("consume", "--until-end", *set_mine, *shared)["records"] == 50
    stack.run("up", *set_other)
    assert stack.json("consume", "--until-end", *set_other)["records"] == 50
    assert stack.json("verify", *set_other)["missing"] == 0
    stack.run("produce", "--count", "20")
    done = stack.run("up", *set_mine)
    group = f"nrtctl-{mine}-events"
    assert f"{group} continues where nrtctl-events stopped".encode() in done.stdout + done.stderr
    for options in (set_mine, set_other):
        assert stack.json("consume", "--until-end", *options)["records"] == 20
        report = stack.json("verify", *options)
        assert (report["stored"], report["missing"], report["duplicated"]) == (70, 0, 0)
    assert report["group"] == f"nrtctl-{other}-events"
