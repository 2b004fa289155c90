"""The client of a schema registry, against one that answers over HTTP, and against none."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trustme
from pydantic import SecretStr, ValidationError

from nrtctl.config.model import Config, Stack
from nrtctl.config.servers import SchemaRegistry
from nrtctl.errors import ConfigError, ConnectError, NrtctlError
from nrtctl.kafka.formats.registry import Registered, Registry
from nrtctl.kafka.formats.wire import RegistryAway
from nrtctl.pipeline import Pipeline

GUID = UUID(int=7)
MONEY, PRICE = '{"name": "Money"}', '{"name": "Price"}'


class Answers:
    """What a server says to each path, and the headers that it was asked with."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.of: dict[str, tuple[int, bytes]] = {}
        self.headers: list[dict[str, str]] = []
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers.headers.append(dict(self.headers))
                status, body = answers.of.get(self.path, (404, b"nothing here"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                answers.of["posted"] = (0, self.rfile.read(int(self.headers["Content-Length"])))
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if context is not None:
            scheme, self._server.socket = (
                "https",
                context.wrap_socket(self._server.socket, server_side=True),
            )
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}/path/"
        serve = partial(self._server.serve_forever, 0.01)
        threading.Thread(target=serve, daemon=True).start()

    def say(self, path: str, found: Any, status: int = 200) -> None:
        self.of[f"/path{path}"] = (status, json.dumps(found).encode())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def answers() -> Iterator[Answers]:
    made = Answers()
    yield made
    made.close()


@pytest.fixture
def registry(answers: Answers) -> Iterator[Registry]:
    made = Registry(SchemaRegistry(url=answers.url))
    yield made
    made.close()


def test_a_schema_and_those_that_it_names(answers: Answers, registry: Registry) -> None:
    refers = [{"name": "Price", "subject": "a/price", "version": 2}]
    answers.say("/schemas/ids/7", {"schema": '"string"', "references": refers})
    money = [{"name": "Money", "subject": "money", "version": 1}, *refers]
    price = {"schema": PRICE, "references": money}
    answers.say("/subjects/a%2Fprice/versions/2?deleted=true", price)
    answers.say("/subjects/money/versions/1?deleted=true", {"schema": MONEY})
    assert registry.schema(7) == Registered("AVRO", '"string"', {"Money": MONEY, "Price": PRICE})


def test_a_schema_has_two_names_where_it_is_referred_to_by_both(
    answers: Answers, registry: Registry
) -> None:
    money = {"subject": "money", "version": 1}
    refers = [money | {"name": "money.proto"}, money | {"name": "shop/money.proto"}]
    answers.say("/schemas/ids/7", {"schema": PRICE, "references": refers})
    answers.say("/subjects/money/versions/1?deleted=true", {"schema": MONEY})
    found = registry.schema(7)
    assert found is not None
    assert found.references == {"money.proto": MONEY, "shop/money.proto": MONEY}


def test_a_schema_by_its_guid(answers: Answers, registry: Registry) -> None:
    answers.say(f"/schemas/guids/{GUID}", {"schema": MONEY, "guid": str(GUID)})
    assert registry.schema(GUID) == Registered("AVRO", MONEY)
    answers.say(f"/schemas/guids/{GUID}", {"error_code": 40403, "message": "not found"}, 404)
    assert registry.schema(GUID) is None


@pytest.mark.parametrize("body", [b"nothing here", b'{"error_code": 404, "message": "HTTP 404"}'])
def test_a_registry_without_guids_is_told_from_a_schema_that_is_not_there(
    answers: Answers, registry: Registry, body: bytes
) -> None:
    answers.of[f"/path/schemas/guids/{GUID}"] = (404, body)
    with pytest.raises(RegistryAway, match="has no schemas by their GUIDs") as raised:
        registry.schema(GUID)
    assert "PrefixSchemaIdSerializer" in (raised.value.hint or "")


def test_an_id_that_is_not_there(answers: Answers, registry: Registry) -> None:
    answers.say("/schemas/ids/8", {"error_code": 40403, "message": "not found"}, 404)
    assert registry.schema(8) is None


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (404, b"nothing here", "it answers 404, unlike a schema registry"),
        (404, b'{"error_code": 404, "message": "no such path"}', "it answers 404: no such path"),
        (500, b'{"error_code": 50001, "message": "store"}', "it answers 500: store"),
        (200, b"<html>", "it answers 200, unlike a schema registry"),
    ],
)
def test_another_answer_says_nothing_of_the_schema(
    answers: Answers, registry: Registry, status: int, body: bytes, why: str
) -> None:
    answers.of["/path/schemas/ids/7"] = (status, body)
    with pytest.raises(RegistryAway, match=why):
        registry.schema(7)


NAMED = [{"name": "A", "subject": "a", "version": 1}]


@pytest.mark.parametrize(
    "found",
    [
        {}, {"schema": None}, {"schema": 7}, {"schema": "x", "references": {"a": 1}},
        {"schema": "x", "references": ["a"]}, {"schema": "x", "references": [{}]},
        {"schema": "x", "references": [NAMED[0] | {"version": "1"}]},
        {"schema": "x", "references": [NAMED[0] | {"version": 1e400}]},
        {"schema": "x", "references": [{"subject": "a", "version": 1}]},
    ],
)  # fmt: skip
def test_json_of_another_shape_says_nothing_of_the_schema(
    answers: Answers, registry: Registry, found: Any
) -> None:
    answers.say("/schemas/ids/7", found)
    answers.say("/subjects/a/versions/1?deleted=true", {"schema": MONEY})
    with pytest.raises(RegistryAway, match="it answers 200, but not with "):
        registry.schema(7)
    answers.say("/subjects/t/versions/latest", found)
    answers.say("/subjects/t/versions", found)
    with pytest.raises(RegistryAway, match="not with id"):
        registry.latest("t")
    with pytest.raises(RegistryAway, match="not with id"):
        registry.register("t", "AVRO", MONEY)


def test_a_schema_that_is_referred_to_without_a_text(answers: Answers, registry: Registry) -> None:
    answers.say("/schemas/ids/7", {"schema": "x", "references": NAMED})
    answers.say("/subjects/a/versions/1?deleted=true", {"schema": None})
    with pytest.raises(RegistryAway, match="not with schema"):
        registry.schema(7)


def test_json_of_a_great_depth_says_nothing_of_the_schema(
    answers: Answers, registry: Registry
) -> None:
    answers.of["/path/schemas/ids/7"] = (200, b"[" * 100_000)
    with pytest.raises(RegistryAway, match="unlike a schema registry"):
        registry.schema(7)


def test_nobody_listens(answers: Answers, registry: Registry) -> None:
    answers.close()
    with pytest.raises(RegistryAway, match=f"{registry.url} does not answer: Failed to .*refused"):
        registry.schema(7)


def test_the_login_is_sent_and_may_be_refused(answers: Answers) -> None:
    for settings, expected in (
        ({"username": "u", "password": "p"}, "Basic dTpw"),
        ({"token": "t0k"}, "Bearer t0k"),
    ):
        registry = Registry(SchemaRegistry(url=answers.url, **settings))
        answers.of["/path/schemas/ids/7"] = (401, b"{}")
        with pytest.raises(ConnectError, match="refuses the login") as refused:
            registry.schema(7)
        assert not isinstance(refused.value, RegistryAway)
        assert answers.headers[-1]["Authorization"] == expected
        registry.close()


def test_a_token_that_no_header_can_hold_is_not_said(answers: Answers) -> None:
    settings = SchemaRegistry(url=answers.url).model_copy(update={"token": SecretStr("planted\nx")})
    with pytest.raises(ConfigError, match="a header of the request would not be valid") as caught:
        Registry(settings).schema(7)
    assert "planted" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__suppress_context__, "a traceback would quote it"


def test_a_schema_is_registered(answers: Answers, registry: Registry) -> None:
    answers.say("/subjects/t-value/versions", {"id": 3})
    assert registry.register("t-value", "AVRO", '"string"') == 3
    assert json.loads(answers.of["posted"][1]) == {"schema": '"string"'}
    answers.say("/subjects/t-value/versions", {"error_code": 409, "message": "older"}, 409)
    with pytest.raises(NrtctlError, match="does not accept the schema: older"):
        registry.register("t-value", "AVRO", '"string"')


def test_the_authority_of_the_registry_is_checked(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    answers = Answers(context)
    answers.say("/schemas/ids/7", {"schema": '"string"'})
    trusting = Registry(SchemaRegistry(url=answers.url, ca_certificate=tmp_path / "ca.pem"))
    assert trusting.schema(7) == Registered("AVRO", '"string"')
    trusting.close()
    with pytest.raises(RegistryAway, match="certificate verify failed"):
        Registry(SchemaRegistry(url=answers.url)).schema(7)
    answers.close()


def test_an_authority_that_cannot_be_read(tmp_path: Path) -> None:
    settings = SchemaRegistry(url="https://r:1", ca_certificate=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match="certificates cannot be read"):
        Registry(settings)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"url": "http://u:p@r:1"}, "write the user and password"),
        ({"url": "r:8081"}, "is not a URL"),
        ({"username": "u"}, "password: is required"),
        ({"token": "t", "username": "u", "password": "p"}, "leave one of them out"),
    ],
)
def test_settings_that_mean_nothing(given: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SchemaRegistry(**given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"format": "avro"}, "schema_registry.url or pipeline.schema_file: is required"),
        ({"format": "json schema"}, "schema_registry.url: is required"),
        ({"format": "protobuf"}, "schema_registry.url or pipeline.schema_file: is required"),
        ({"format": "avro", "schema_message": "A"}, "schema_message: can only be used with format"),
        ({"format": "text"}, "fields.x: a message of text has one field, line"),
        ({"format": "text", "rows": ["a"]}, "rows: cannot be used with format"),
        ({"format": "text", "schema_file": "a"}, "schema_file: can only be used with format"),
        ({"format": "json", "schema_file": "a.avsc"}, "schema_file: can only be used with format"),
    ],
)
def test_a_format_that_lacks_something(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Config(pipeline=Pipeline(fields={"x": "String"}, **given), stack=Stack(kind="external"))


def test_the_local_stack_has_a_registry_of_its_own() -> None:
    avro = Pipeline(fields={"x": "String"}, format="avro")
    assert Config(pipeline=avro).has_local_registry
    named = SchemaRegistry(url="http://r:1")
    assert not Config(pipeline=avro, schema_registry=named).has_local_registry
    assert not Config(pipeline=avro.of_json()).has_local_registry
