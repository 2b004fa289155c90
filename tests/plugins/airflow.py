"""A pytest plugin: Apache Airflow in a virtual environment of its own, and DAGs run in it.

The environment is made once, from tests/airflow-requirements.txt, in the tests' cache directory
(`environments`). Where the package index cannot be reached the tests are skipped,
or, with NRTCTL_REQUIRE_AIRFLOW=1, fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.environments import environment
from tests.plugins.stack import Project

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "deploy" / "airflow" / "dags"
REQUIREMENTS = ROOT / "tests" / "airflow-requirements.txt"


def _run(*command: str, environ: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, env=environ, timeout=550)


class Notifications:
    """An HTTP server on loopback that keeps what is posted to it."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                bodies.append(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def take(self) -> list[dict[str, Any]]:
        taken, self.bodies[:] = list(self.bodies), []
        return taken

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Airflow:
    """The project's DAGs in an Airflow home of its own, for one nrtctl.toml."""

    def __init__(self, executable: Path, home: Path) -> None:
        self._executable = executable
        self.metrics = home / "metrics"
        self.notifications = Notifications()
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("AIRFLOW", "NRTCTL_"))}
        self._environ = {
            **kept,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_VAR_NRTCTL_METRICS_DIR": str(self.metrics),
            "AIRFLOW_CONN_NRTCTL_NOTIFY": self.notifications.url,
            "NO_PROXY": "127.0.0.1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        _run(str(executable), "db", "migrate", environ=self._environ)

    def test(
        self,
        project: Project,
        dag: str,
        date: str,
        *,
        conf: Mapping[str, Any] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> tuple[bool, str]:
        """`airflow dags test`: whether the run succeeded, and its log.

        Args:
            date: logical date; the run is for the hour before.
            more: added to the environment.
        """
        command = Path(sys.executable).with_name("nrtctl")
        environ = {
            **self._environ,
            "XDG_STATE_HOME": project.environ["XDG_STATE_HOME"],
            "XDG_CONFIG_HOME": project.environ["XDG_CONFIG_HOME"],
            "AIRFLOW_VAR_NRTCTL_COMMAND": str(command),
            "AIRFLOW_VAR_NRTCTL_CONFIG": str(project.directory / "nrtctl.toml"),
            **(more or {}),
        }
        words = [str(self._executable), "dags", "test", dag, date]
        if conf is not None:
            words += ["--conf", json.dumps(conf)]
        done = subprocess.run(
            words,
            env=environ,
            cwd=project.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
            check=False,
        )
        return done.returncode == 0, done.stdout.decode(errors="replace")


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    try:
        executable = environment("airflow", REQUIREMENTS) / "airflow"
    except (subprocess.SubprocessError, OSError) as error:
        reason = f"Airflow cannot be had: {getattr(error, 'stderr', None) or error}"
        if os.environ.get("NRTCTL_REQUIRE_AIRFLOW") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    made = Airflow(executable, tmp_path_factory.mktemp("airflow"))
    yield made
    made.notifications.close()
