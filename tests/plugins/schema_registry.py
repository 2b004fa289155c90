"""A small schema registry on loopback, in a process of its own that can be killed.

Confluent's REST API, as far as its clients use it. It checks that a schema of Avro or JSON Schema
is JSON and nothing else: whatever is registered is compatible.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from tests.plugins.ports import free_port

MEDIA = "application/vnd.schemaregistry.v1+json"
Answer = tuple[int, Any]


class Schemas:
    """Subjects, versions and ids, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._schemas: list[dict[str, Any]] = []
        self._subjects: dict[str, list[int]] = {}
        if path.exists():
            kept = json.loads(path.read_text())
            self._schemas, self._subjects = kept["schemas"], kept["subjects"]

    def get(self, path: list[str]) -> Answer:
        match path:
            case ["subjects"]:
                return 200, list(self._subjects)
            case ["config"]:
                return 200, {"compatibilityLevel": "NONE"}
            case ["schemas", "ids", number]:
                if not 0 < int(number) <= len(self._schemas):
                    return 404, {"error_code": 40403, "message": f"Schema {number} not found"}
                return 200, self._schemas[int(number) - 1]
            case ["subjects", subject, "versions"] if subject in self._subjects:
                return 200, list(range(1, len(self._subjects[subject]) + 1))
            case ["subjects", subject, "versions", version] if subject in self._subjects:
                ids = self._subjects[subject]
                at = len(ids) if version == "latest" else int(version)
                if not 0 < at <= len(ids):
                    return 404, {"error_code": 40402, "message": "Version not found"}
                found = {"subject": subject, "version": at, "id": ids[at - 1]}
                return 200, self._schemas[ids[at - 1] - 1] | found
            case ["subjects", *_]:
                return 404, {"error_code": 40401, "message": "Subject not found"}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def post(self, path: list[str], body: dict[str, Any]) -> Answer:
        match path:
            case ["subjects", subject, "versions"]:
                try:
                    if body.get("schemaType") != "PROTOBUF":
                        json.loads(body["schema"])
                except ValueError as error:
                    return 422, {"error_code": 42201, "message": f"Invalid schema: {error}"}
                with self._lock:
                    return 200, {"id": self._register(subject, body)}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _register(self, subject: str, body: dict[str, Any]) -> int:
        kept = ("schema", "references")
        schema: dict[str, Any] = {name: body[name] for name in kept if name in body}
        if body.get("schemaType", "AVRO") != "AVRO":
            schema["schemaType"] = body["schemaType"]
        if schema not in self._schemas:
            self._schemas.append(schema)
        number = self._schemas.index(schema) + 1
        ids = self._subjects.setdefault(subject, [])
        if number not in ids:
            ids.append(number)
        text = json.dumps({"schemas": self._schemas, "subjects": self._subjects})
        new = self._path.with_suffix(".new")
        with new.open("w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        new.replace(self._path)
        return number


def serve(port: int, path: Path, login: str) -> None:
    """Args: login: the Authorization header that is asked for; empty: none is."""
    schemas = Schemas(path)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(lambda: schemas.get(self._steps()))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(lambda: schemas.post(self._steps(), json.loads(body)))

        def _steps(self) -> list[str]:
            return [each for each in self.path.split("/") if each]

        def _answer(self, find: Any) -> None:
            status, found = 401, {"error_code": 401, "message": "Unauthorized"}
            if not login or self.headers.get("Authorization") == login:
                status, found = find()
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", MEDIA)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()


class SchemaRegistry:
    """One that runs until it is killed, and keeps its address and its schemas when it is back."""

    def __init__(self, directory: Path, login: str = "") -> None:
        self._path = directory / "schemas.json"
        self._login = login
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = [str(self._port), str(self._path), self._login]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *arguments], stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def register(self, subject: str, schema: Any, kind: str = "AVRO", **references: str) -> int:
        """Args: references: name to the subject whose first version it refers to."""
        text = schema if kind == "PROTOBUF" else json.dumps(schema)
        body = {"schema": text, "schemaType": kind}
        if references:
            body["references"] = [
                {"name": name, "subject": each, "version": 1} for name, each in references.items()
            ]
        request = urllib.request.Request(
            f"{self.url}/subjects/{subject}/versions", json.dumps(body).encode(),
            {"Content-Type": MEDIA, "Authorization": self._login},
        )  # fmt: skip
        with urllib.request.urlopen(request) as answer:
            return int(json.load(answer)["id"])


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def schema_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchemaRegistry]:
    made = SchemaRegistry(tmp_path_factory.mktemp("registry"))
    made.start()
    yield made
    made.kill()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
