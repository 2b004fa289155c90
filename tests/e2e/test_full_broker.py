"""A broker whose disk is full while somebody sends."""

from __future__ import annotations

import subprocess
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.plugins.local_broker import LocalBroker
from tests.plugins.small_disk import fill
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


def test_what_is_sent_to_a_full_disk_waits_is_said_and_arrives(
    project: Project, small_disk: Path, tmp_path: Path
) -> None:
    broker = LocalBroker(small_disk / "broker")
    broker.start()
    try:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        made = admin.create_topics([NewTopic("user_events", 2, 1)])
        made["user_events"].result(30)
        filler = small_disk / "filler"
        fill(filler)
        log = tmp_path / "said"
        with log.open("wb") as said:
            process = project.spawn(
                *("produce", "--count", "500", "-o", "json"),
                stdout=subprocess.PIPE,
                stderr=said,
                environ={
                    **project.environ,
                    "NRTCTL_STACK__KIND": "external",
                    "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap,
                },
            )
            told = b"Kafka answers, but has stored nothing for 5 s, and 500 messages wait: its own"
            eventually(lambda: told in log.read_bytes(), "what is waited for is said")
            filler.unlink()
            out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, log.read_text()
        assert b'"acknowledged": 500' in out
        assert log.read_bytes().count(told) == 1
        assert b"Kafka stores messages again" in log.read_bytes()
    finally:
        broker.kill()
