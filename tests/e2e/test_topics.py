"""`nrtctl topics` as a person types it, on both brokers: what it asks, and what it refuses."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.plugins.place import Place
from tests.plugins.waiting import eventually

LOCAL_FIRST = pytest.mark.parametrize(
    "place", ["embedded", pytest.param("apache", marks=pytest.mark.long)], indirect=True
)
"""For what the command decides, whichever broker it is."""


def test_a_topic_from_its_making_to_its_end(place: Place) -> None:
    other = f"{place.topic}-other"
    assert place.run("topics", "create", other, "--partitions", "2") == f"created topic {other}\n"
    eventually(lambda: place.json("topics", "list", other), "the topic in the list")
    (found,) = place.json("topics", "list", other)
    assert (found["topic"], found["partitions"], found["messages"]) == (other, 2, 0)
    place.run("topics", "set", other, "retention.ms=1d")

    def settings() -> dict[str, Any]:
        described = place.json("topics", "describe", other)
        return {each["name"]: each for each in described["settings"]}

    eventually(lambda: settings()["retention.ms"]["value"] == "86400000", "the setting")
    assert settings()["retention.ms"]["origin"] == "topic"
    table = place.run("topics", "describe", other)
    assert "kept        1d (retention.ms, topic)" in table
    place.run("topics", "add-partitions", other, "--to", "3")  # empty: nothing to ask
    eventually(
        lambda: place.json("topics", "describe", other)["partitions"][2:], "the third partition"
    )
    assert "add --yes" in place.run("topics", "delete", other, code=2)
    assert place.run("topics", "delete", other, "--yes") == f"deleted topic {other}\n"
    eventually(lambda: place.json("topics", "list", other) == [], "its end")
    assert "does not exist" in place.run("topics", "delete", other, "--yes", code=1)


def test_what_the_pipeline_has_not_stored_is_kept(place: Place) -> None:
    place.fill(6)
    for command in (
        ("topics", "purge", "--before", "end", "--execute"),
        ("topics", "purge", place.topic, "--before", "4", "--execute"),
        ("topics", "delete", place.topic, "--yes"),
        ("topics", "set", place.topic, "retention.ms=1"),
        ("topics", "set", place.topic, "cleanup.policy=compact"),
    ):
        refused = place.run(*command, code=1)
        assert "have not been stored yet" in refused
        assert "--unstored" in refused
    assert place.json("topics", "describe")["messages"] == 6
    would = place.json("topics", "purge", "--before", "4", "--unstored")
    assert (would["executed"], would["messages"]) == (False, 4)
    assert place.json("topics", "describe")["messages"] == 6
    done = place.json("topics", "purge", "--before", "4", "--unstored", "--execute")
    assert (done["executed"], done["messages"]) == (True, 4)
    assert place.json("topics", "describe")["partitions"][0]["log_start"] == 4
    place.run("topics", "delete", place.topic, "--yes", "--unstored")


@LOCAL_FIRST
def test_calls_that_are_wrong(place: Place) -> None:
    place.fill(1, partition=1)
    for command, words in (
        (("purge", "--before", "soon"), "not a place in the log"),
        (("purge", "--before", "end", "--partition", "7"), "no partition 7"),
        (("set", place.topic), "no setting was given"),
        (("set", place.topic, "retention.ms"), "KEY=VALUE"),
        (("set", place.topic, "no.such=1"), "--all-settings"),
        (("set", place.topic, "retention.ms=1d", "--unset", "retention.ms"), "both set"),
        (("add-partitions", place.topic, "--to", "2"), "cannot remove any"),
        (("add-partitions", place.topic, "--to", "3"), "add --yes"),
        (("create", "a b"), "up to 249 letters"),
    ):
        assert words in place.run("topics", *command, code=2)


@LOCAL_FIRST
def test_a_person_is_asked(place: Place) -> None:
    place.fill(1)
    command = ("topics", "add-partitions", place.topic, "--to", "3")

    def has(count: int) -> bool:
        return len(place.json("topics", "describe")["partitions"]) == count

    for answer, code, count in (("n", 1, 2), ("y", 0, 3)):
        with place.project.terminal(*command, width=100) as screen:
            screen.wait_for("[y/N]")
            assert "another order" in screen.text
            screen.press(answer + "\n")
            assert screen.wait_for_end() == code
        eventually(partial(has, count), "as many partitions as were agreed to")


@LOCAL_FIRST
def test_nobody_is_waited_for_in_silence(place: Place) -> None:
    place.project.environ["NRTCTL_KAFKA__BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    place.project.environ["NRTCTL_KAFKA__CONNECT_TIMEOUT"] = "4s"
    refused = place.run("topics", "list", code=3)
    assert "waiting for Kafka at 127.0.0.1:1" in refused
    assert "Connection refused" in refused


@LOCAL_FIRST
def test_names_of_topics_are_data(place: Place) -> None:
    lines = place.run("topics", "list", place.topic, "-o", "jsonl").splitlines()
    assert [json.loads(line)["topic"] for line in lines] == [place.topic]


def test_groups(place: Place) -> None:
    place.fill(4)
    member = Consumer({"bootstrap.servers": place.bootstrap, "group.id": place.group})
    ours = TopicPartition(place.topic, 0, 1, "nrtctl1:events:3:3a04f4a2#700e23fe")
    member.commit(offsets=[ours], asynchronous=False)
    (listed,) = place.json("groups", "list", place.group)
    assert (listed["group"], listed["note"]) == (place.group, "the pipeline's")
    found = place.json("groups", "describe")
    assert (found["lag"], found["tables"], found["offsets"][0]["pending"]) == (
        3,
        ["events"],
        [1, 3],
    )
    assert "1–2 is pending" in place.run("groups", "describe", place.group)
    assert "--pipeline-group" in place.run("groups", "delete", place.group, "--yes", code=1)
    assert "add --yes" in place.run("groups", "delete", place.group, "--pipeline-group", code=2)
    member.subscribe([place.topic])
    eventually(lambda: member.poll(0.1) or member.assignment(), "a member with partitions")
    refused = place.run("groups", "delete", place.group, "--pipeline-group", "--yes", code=1)
    assert "has 1 member" in refused
    member.close()
    delete = ("groups", "delete", place.group, "--pipeline-group", "--yes")
    assert place.run(*delete) == f"deleted group {place.group}\n"
    assert "no consumer group" in place.run("groups", "describe", code=1)


@LOCAL_FIRST
def test_what_any_of_several_pipelines_has_not_stored_is_kept(place: Place) -> None:
    place.fill(2)
    for name in ("NRTCTL_PIPELINE__TOPIC", "NRTCTL_CONSUMER__GROUP"):
        del place.project.environ[name]
    (place.project.directory / "nrtctl.toml").write_text(
        f'[pipelines.first]\ntopic = "{place.topic}-elsewhere"\nfields = {{ n = "Int64" }}\n'
        f'[pipelines.second]\ntopic = "{place.topic}"\nfields = {{ n = "Int64" }}\n'
    )
    (listed,) = place.json("topics", "list", place.topic)
    assert listed["note"] == "of pipeline second"
    assert "first, second" in place.run("peek", code=2)
    assert "first, second" in place.run("groups", "describe", code=2)
    assert len(place.run("peek", "--pipeline", "second", "-o", "jsonl").splitlines()) == 2
    for chosen in ((), ("--pipeline", "first")):
        refused = place.run("topics", "delete", place.topic, "--yes", *chosen, code=1)
        assert "2 messages" in refused
