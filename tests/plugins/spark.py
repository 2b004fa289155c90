"""A pytest plugin: Apache Spark with ClickHouse's JDBC driver, and the project's job in it.

Both are fetched once, into the tests' cache directory. Where they cannot be had, or Java is
missing, the tests are skipped, or, with NRTCTL_REQUIRE_SPARK=1, fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins.environments import environment
from tests.plugins.maven import libraries
from tests.plugins.stack import Project

ROOT = Path(__file__).parents[2]
JOB = ROOT / "deploy" / "spark" / "hourly.py"
JDBC = "com.clickhouse:clickhouse-jdbc:0.10.0"


class Spark:
    """`spark-submit` with the job, on two threads of this machine."""

    def __init__(self, commands: Path, jars: Path) -> None:
        self.words = [
            str(commands / "spark-submit"),
            *("--master", "local[2]"),
            *("--conf", "spark.ui.enabled=false", "--conf", "spark.driver.host=127.0.0.1"),
            *("--jars", ",".join(sorted(map(str, jars.glob("*.jar"))))),
            str(JOB),
        ]
        self._environ = {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "PYSPARK_PYTHON": str(commands / "python"),
            "SPARK_LOCAL_IP": "127.0.0.1",
        }

    def environ(self, project: Project) -> dict[str, str]:
        """What the job is told by its environment, for a local stack."""
        at = project.directory / ".nrtctl" / "clickhouse"
        endpoint = Endpoint.read(at)
        assert endpoint is not None
        return {
            **self._environ,
            "NRTCTL_CLICKHOUSE__URL": f"http://{endpoint.address}",
            "NRTCTL_CLICKHOUSE__PASSWORD": (at / "password").read_text(),
        }

    def run(self, project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("SPARK", "NRTCTL_"))}
        return subprocess.run(
            [*self.words, *arguments],
            env=kept | self.environ(project),
            cwd=project.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="session")
def spark() -> Spark:
    try:
        if shutil.which("java") is None:
            raise OSError("there is no java")
        return Spark(
            environment("spark", ROOT / "tests" / "spark-requirements.txt"), libraries(JDBC)
        )
    except (subprocess.SubprocessError, OSError) as error:
        reason = f"Spark cannot be had: {getattr(error, 'stderr', None) or error}"
        if os.environ.get("NRTCTL_REQUIRE_SPARK") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
