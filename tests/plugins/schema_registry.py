"""The local schema registry as a process that can be killed, and requests to any registry.

What a registry does that is none of ours to start (it is away, a proxy answers for it, it wants
another login) is done by stand-ins where it is tested.
"""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest

from tests.plugins.clickhouse_front import LocalServer
from tests.plugins.local_broker import spawn_server

MEDIA = "application/vnd.schemaregistry.v1+json"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Requests:
    """Requests to a registry at `host`, `port` and `base`, as whoever has `login`."""

    host: str
    port: int
    base = ""
    login = ""

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, the answer's JSON value, or its text where it is none)."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        given = {"Content-Type": MEDIA}
        if self.login:
            given["Authorization"] = self.login
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, self.base + path, data, given | dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def get(self, path: str) -> Any:
        """What is answered with 200."""
        status, found = self.ask("GET", path)
        assert status == 200, found
        return found

    def code(self, method: str, path: str, body: Any = None) -> int:
        """The error code of a request that is refused."""
        status, found = self.ask(method, path, body)
        assert status >= 400, found
        assert set(found) >= {"error_code", "message"}
        return int(found["error_code"])

    def try_to_register(
        self, subject: str, schema: Any, kind: str = "AVRO", **more: Any
    ) -> tuple[int, Any]:
        """Args: schema: a text, or a value that is made JSON."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        body = {"schema": text, "schemaType": kind, **more}
        return self.ask("POST", f"/subjects/{quote(subject, safe='')}/versions", body)

    def register(self, subject: str, schema: Any, kind: str = "AVRO", **more: Any) -> int:
        status, found = self.try_to_register(subject, schema, kind, **more)
        assert status == 200, found
        return int(found["id"])


class SchemaRegistry(Requests, LocalServer):
    """The local stack's registry."""

    command = ("-m", "nrtctl.local.registry")

    def spawn(self) -> subprocess.Popen[bytes]:
        given = ["--data-dir", str(self.data_dir), "--port", str(self.port), *self.arguments]
        return spawn_server("nrtctl.local.registry", given, subprocess.PIPE)

    def start(self) -> None:
        LocalServer.start(self)
        self.login = basic("nrtctl", self.password)

    @property
    def settings(self) -> str:
        """Of a pipeline that uses it."""
        return f'url = "{self.url}"\nusername = "nrtctl"\npassword = "{self.password}"'


@pytest.fixture
def schema_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchemaRegistry]:
    made = SchemaRegistry(tmp_path_factory.mktemp("registry"))
    made.start()
    yield made
    made.kill()
