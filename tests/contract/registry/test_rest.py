"""Confluent's REST API, the same of the local registry as of Apicurio's."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.plugins.schema_registry import Requests

DRAFT = "http://json-schema.org/draft-07/schema#"


def record(*fields: dict[str, Any], name: str = "Order") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": "id", "type": "long"}, *fields]}


FIRST = record()
WITH_DEFAULT = record({"name": "note", "type": "string", "default": ""})
WITHOUT_DEFAULT = record({"name": "note", "type": "string"})


def test_a_schema_is_found_by_its_id_its_version_and_itself(
    registry: Requests, subject: str
) -> None:
    number = registry.register(subject, FIRST)
    assert registry.register(subject, FIRST) == number
    second = registry.register(subject, WITH_DEFAULT)
    assert second != number
    assert subject in registry.get("/subjects")
    assert registry.get(f"/subjects/{subject}/versions") == [1, 2]
    for given, version, wanted in [("1", 1, FIRST), ("2", 2, WITH_DEFAULT)]:
        found = registry.get(f"/subjects/{subject}/versions/{given}")
        assert json.loads(found["schema"]) == wanted
        assert (found["subject"], found["version"]) == (subject, version)
        assert registry.get(f"/subjects/{subject}/versions/{given}/schema") == wanted
    latest = registry.get(f"/subjects/{subject}/versions/latest")
    assert (latest["version"], latest["id"]) == (2, second)
    assert json.loads(registry.get(f"/schemas/ids/{number}")["schema"]) == FIRST
    status, found = registry.ask("POST", f"/subjects/{subject}", {"schema": json.dumps(FIRST)})
    assert (status, found["id"], found["version"]) == (200, number, 1)


def test_equal_schemas_of_two_subjects_have_one_id(registry: Requests, subject: str) -> None:
    schema = record(name=f"R{subject.replace('-', '')}")
    numbers = {registry.register(f"{subject}-{at}", schema) for at in range(3)}
    assert len(numbers) == 1
    uses = registry.get(f"/schemas/ids/{numbers.pop()}/versions")
    assert sorted((each["subject"], each["version"]) for each in uses) == [
        (f"{subject}-{at}", 1) for at in range(3)
    ]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/schemas/ids/987654", 40403),
        ("GET", "/subjects/NONE/versions", 40401),
        ("GET", "/subjects/NONE/versions/1", 40401),
        ("GET", "/subjects/THERE/versions/9", 40402),
        ("DELETE", "/subjects/NONE", 40401),
        ("DELETE", "/subjects/THERE/versions/9", 40402),
    ],
)
def test_what_is_not_there_has_confluents_code(
    registry: Requests, subject: str, method: str, path: str, code: int
) -> None:
    registry.register(subject, FIRST)
    path = path.replace("THERE", subject).replace("NONE", f"{subject}-none")
    assert registry.code(method, path) == code


def test_lookup_tells_a_missing_subject_from_a_missing_schema(
    registry: Requests, subject: str
) -> None:
    body = {"schema": json.dumps(record(name="Nowhere"))}
    assert registry.code("POST", f"/subjects/{subject}", body) == 40401
    registry.register(subject, FIRST)
    assert registry.code("POST", f"/subjects/{subject}", body) == 40403


@pytest.mark.parametrize(
    "schema",
    ["{", '{"type": "record"}', '{"type": "record", "name": "A", "fields": [{"name": "x"}]}',
     '{"type": "array"}', '"Unknown"', '["int", "int"]'],
)  # fmt: skip
def test_what_is_no_schema_is_refused(registry: Requests, subject: str, schema: str) -> None:
    status, found = registry.try_to_register(subject, schema)
    assert (status, found["error_code"]) == (422, 42201)
    assert subject not in registry.get("/subjects")


@pytest.mark.parametrize("name", ["a/b", "a%2Fb", "a b", "grüße", "a+b?c=d&e", "a.b:c"])
def test_any_name_of_a_subject(registry: Requests, subject: str, name: str) -> None:
    name = f"{subject}{name}"
    registry.register(name, FIRST)
    assert name in registry.get("/subjects")
    found = registry.get(f"/subjects/{quote(name, safe='')}/versions/latest")
    assert found["subject"] == name


@pytest.mark.parametrize(
    ("level", "before", "after", "holds"),
    [
        ("BACKWARD", FIRST, WITH_DEFAULT, True),
        ("BACKWARD", FIRST, WITHOUT_DEFAULT, False),
        ("BACKWARD", WITHOUT_DEFAULT, FIRST, True),
        ("FORWARD", FIRST, WITHOUT_DEFAULT, True),
        ("FORWARD", WITHOUT_DEFAULT, FIRST, False),
        ("FULL", FIRST, WITH_DEFAULT, True),
        ("FULL", FIRST, WITHOUT_DEFAULT, False),
        ("BACKWARD", {"type": "int"}, {"type": "long"}, True),
        ("BACKWARD", {"type": "long"}, {"type": "int"}, False),
        ("FORWARD", {"type": "long"}, {"type": "int"}, True),
        ("BACKWARD", {"type": "string"}, ["null", "string"], True),
        ("BACKWARD", ["null", "string"], {"type": "string"}, False),
    ],
)
def test_a_level_says_what_may_follow(
    registry: Requests, subject: str, level: str, before: Any, after: Any, holds: bool
) -> None:
    registry.register(subject, before)
    assert registry.ask("PUT", f"/config/{subject}", {"compatibility": level})[0] == 200
    body = {"schema": json.dumps(after)}
    path = f"/compatibility/subjects/{subject}/versions"
    for each in (f"{path}/latest", f"{path}/1", path):
        assert registry.ask("POST", each, body)[1]["is_compatible"] is holds
    status, found = registry.try_to_register(subject, after)
    assert status == (200 if holds else 409)
    assert registry.get(f"/subjects/{subject}/versions") == ([1, 2] if holds else [1])
    if not holds:
        assert found["error_code"] == 409


def test_a_transitive_level_looks_at_all_versions(registry: Requests, subject: str) -> None:
    optional = record({"name": "x", "type": "int", "default": 1})
    other = record({"name": "x", "type": "string", "default": ""})
    registry.register(subject, optional)
    registry.register(subject, FIRST)
    path = f"/config/{subject}"
    registry.ask("PUT", path, {"compatibility": "BACKWARD_TRANSITIVE"})
    assert registry.try_to_register(subject, other)[0] == 409
    registry.ask("PUT", path, {"compatibility": "BACKWARD"})
    registry.register(subject, other)


def test_levels_of_subjects_and_of_all(registry: Requests, subject: str) -> None:
    assert registry.get("/config") == {"compatibilityLevel": "BACKWARD"}
    registry.register(subject, FIRST)
    status, found = registry.ask("PUT", f"/config/{subject}", {"compatibility": "FULL"})
    assert (status, [*found.values()]) == (200, ["FULL"])
    assert registry.get(f"/config/{subject}") == {"compatibilityLevel": "FULL"}
    assert registry.ask("DELETE", f"/config/{subject}")[0] == 200


def test_a_version_is_deleted_softly_and_then_for_ever(registry: Requests, subject: str) -> None:
    first = registry.register(subject, FIRST)
    registry.register(subject, WITH_DEFAULT)
    path = f"/subjects/{subject}/versions"
    assert registry.code("DELETE", f"{path}/2?permanent=true") == 40407
    assert registry.ask("DELETE", f"{path}/2") == (200, 2)
    assert registry.get(path) == [1]
    assert registry.get(f"{path}?deleted=true") == [1, 2]
    assert registry.code("GET", f"{path}/2") == 40402
    assert registry.get(f"{path}/2?deleted=true")["version"] == 2
    assert registry.get(f"{path}/latest")["version"] == 1
    assert registry.code("DELETE", f"{path}/2") == 40406
    assert registry.ask("DELETE", f"{path}/2?permanent=true") == (200, 2)
    assert registry.get(f"{path}?deleted=true") == [1]
    assert registry.get(f"/schemas/ids/{first}")


def test_a_subject_is_deleted_softly_and_then_for_ever(registry: Requests, subject: str) -> None:
    number = registry.register(subject, record(name=f"G{subject.replace('-', '')}"))
    path = f"/subjects/{subject}"
    assert registry.code("DELETE", f"{path}?permanent=true") == 40405
    assert registry.ask("DELETE", path) == (200, [1])
    assert registry.get(f"/schemas/ids/{number}")
    assert subject not in registry.get("/subjects")
    assert subject in registry.get("/subjects?deleted=true")
    assert registry.code("GET", f"{path}/versions") == 40401
    assert registry.code("DELETE", path) == 40404
    assert registry.ask("DELETE", f"{path}?permanent=true") == (200, [1])
    assert subject not in registry.get("/subjects?deleted=true")


def test_a_schema_refers_to_others(registry: Requests, subject: str) -> None:
    money = {"type": "record", "name": "Money", "fields": [{"name": "cents", "type": "long"}]}
    registry.register(f"{subject}-money", money)
    order = record({"name": "price", "type": "Money"})
    reference = {"name": "Money", "subject": f"{subject}-money", "version": 1}
    assert registry.try_to_register(subject, order)[0] == 422
    missing = {**reference, "version": 7}
    assert registry.try_to_register(subject, order, references=[missing])[0] == 422
    number = registry.register(subject, order, references=[reference])
    assert registry.get(f"/schemas/ids/{number}")["references"] == [reference]
    path = f"/subjects/{subject}-money/versions/1"
    assert registry.get(f"{path}/referencedby") == [number]
    assert registry.code("DELETE", path) == 42206


def test_three_types_of_schema(registry: Requests, subject: str) -> None:
    assert set(registry.get("/schemas/types")) >= {"AVRO", "JSON", "PROTOBUF"}
    number = registry.register(f"{subject}-j", {"$schema": DRAFT, "type": "object"}, "JSON")
    assert registry.get(f"/schemas/ids/{number}")["schemaType"] == "JSON"
    text = 'syntax = "proto3";\nmessage Order { int64 id = 1; }\n'
    number = registry.register(f"{subject}-p", text, "PROTOBUF")
    assert registry.get(f"/schemas/ids/{number}")["schemaType"] == "PROTOBUF"
    text = 'syntax = "proto3";\nmessage Order { string id = 1; }\n'
    assert registry.try_to_register(f"{subject}-p", text, "PROTOBUF")[0] == 409
    wrong = registry.try_to_register(f"{subject}-p", "message {", "PROTOBUF")
    assert wrong[0] == 422
