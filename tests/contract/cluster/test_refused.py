"""What would do wrong on a cluster is refused before anything is asked or changed."""

from __future__ import annotations

import pytest

from tests.plugins.stack import Project

ON_A_CLUSTER = ("--set", "stack.kind=external", "--set", "clickhouse.cluster=prod-1")


@pytest.mark.parametrize("part", ["kafka.bootstrap_servers", "clickhouse.url"])
def test_the_local_stack_is_no_cluster(project: Project, part: str) -> None:
    address = "127.0.0.1:9092" if part.startswith("kafka") else "http://127.0.0.1:8123"
    done = project.run(
        "up", "--set", f"{part}={address}", "--set", "clickhouse.cluster=prod-1", code=2
    )
    assert b"stack.kind = 'external'" in done.stderr


def test_a_name_that_would_end_its_quotes_is_refused(project: Project) -> None:
    done = project.run("config", "validate", "--set", "clickhouse.cluster=a'b", code=2)
    assert b"not a cluster's name" in done.stderr


def test_an_exchange_is_refused(project: Project) -> None:
    addresses = ("--set", "kafka.bootstrap_servers=127.0.0.1:1", "--set",
                 "clickhouse.url=http://127.0.0.1:1")  # fmt: skip
    words = ("replay", "load", "--into", "other", "--swap")
    done = project.run(*words, *addresses, *ON_A_CLUSTER, code=2)
    assert done.stdout == b""
    assert b"`nrtctl replay load --swap` works only with a single" in done.stderr
