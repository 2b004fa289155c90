"""A pytest plugin: Apache Kafka's own command-line tools, Java clients for any broker.

`apache_tools` is session-scoped; skipped, or failed, like `apache_kafka` where it cannot be had.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.plugins.apache_kafka import Unavailable, available_jars, java_command, unavailable

TOOLS = "org.apache.kafka.tools"


class ApacheTools:
    """Each call is a process of its own (about a second of Java), against the broker it names."""

    def __init__(self, jars: Path) -> None:
        self._java = java_command(jars)

    def start(self, main: str, *arguments: str) -> subprocess.Popen[str]:
        """`main` is a class of the package org.apache.kafka.tools."""
        return subprocess.Popen(
            [*self._java, "-Xmx256m", f"{TOOLS}.{main}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, main: str, *arguments: str, given: str = "", timeout: float = 60) -> str:
        """What it printed. Fails the test when it does not end well or in time."""
        process = self.start(main, *arguments)
        try:
            output, _ = process.communicate(given, timeout)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        assert process.returncode == 0, f"{main} {arguments}: {output[-3000:]}"
        return output

    def consumer_groups(self, bootstrap: str, *arguments: str) -> str:
        """kafka-consumer-groups: `--describe --group G`, `--reset-offsets …` and so on."""
        main = "consumer.group.ConsumerGroupCommand"
        return self.run(main, "--bootstrap-server", bootstrap, *arguments)


@pytest.fixture(scope="session")
def apache_tools() -> ApacheTools:
    try:
        return ApacheTools(available_jars())
    except Unavailable as reason:
        unavailable(reason)
