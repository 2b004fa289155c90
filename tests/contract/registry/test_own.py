"""What the local registry does beside what Apicurio's does too: bounds, the login, its journal."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.contract.registry.test_rest import FIRST, WITHOUT_DEFAULT, record
from tests.plugins.schema_registry import SchemaRegistry, basic
from tests.plugins.waiting import eventually


def numbered(at: int) -> dict[str, Any]:
    return record({"name": f"f{at}", "type": "string", "default": ""})


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/subjects/THERE/versions/0", None, 42202),
        ("GET", "/subjects/THERE/versions/x", None, 42202),
        ("GET", "/subjects/THERE/versions/2147483648", None, 42202),
        ("GET", "/subjects//versions", None, 42208),
        ("GET", f"/subjects/{'x' * 513}/versions", None, 42208),
        ("GET", "/subjects/%00/versions", None, 42208),
        ("GET", "/subjects/%FF/versions", None, 400),
        ("GET", "/schemas/ids/x", None, 404),
        ("GET", "/nothing", None, 404),
        ("POST", "/subjects", {}, 405),
        ("PUT", "/subjects/THERE/versions", {}, 405),
        ("POST", "/subjects/THERE/versions", {"schema": ""}, 42201),
        ("POST", "/subjects/THERE/versions", {"schema": 7}, 42201),
        ("POST", "/subjects/THERE/versions", {"schema": "{}", "schemaType": "XML"}, 42201),
        ("POST", "/subjects/THERE/versions", {"schema": '"int"', "ruleSet": {"a": 1}}, 42201),
        ("POST", "/subjects/THERE/versions", {"schema": '"\ud800"'}, 42201),
        ("POST", "/subjects/THERE/versions", {"schema": '"int"', "references": [1]}, 42201),
        ("POST", "/subjects/THERE/versions", ["no object"], 400),
        ("PUT", "/config", {"compatibility": "SOME"}, 42203),
        ("PUT", "/config", {"compatibility": "NONE", "alias": "x"}, 42203),
        ("PUT", "/mode", {"mode": "IMPORT"}, 42204),
        ("GET", "/mode/THERE", None, 40409),
        ("GET", "/config/THERE", None, 40408),
        ("DELETE", "/config/THERE", None, 40408),
        ("POST", "/compatibility/subjects/THERE/versions/7", {"schema": '"int"'}, 40402),
    ],
)
def test_what_cannot_be_asked_is_refused(
    own_registry: SchemaRegistry, subject: str, method: str, path: str, body: Any, code: int
) -> None:
    own_registry.register(subject, FIRST)
    assert own_registry.code(method, path.replace("THERE", subject), body) == code


def test_only_who_has_the_login_is_answered(own_registry: SchemaRegistry) -> None:
    assert os.stat(own_registry.data_dir / "password").st_mode & 0o777 == 0o600
    own = own_registry.login
    wrong = ["", basic("nrtctl", "x"), basic("x", own_registry.password), "Basic !!", "Bearer x"]
    for each in wrong:
        assert own_registry.ask("GET", "/subjects", headers={"Authorization": each})[0] == 401
    strangers: list[dict[str, str]] = [{"Host": "evil.example"}, {"Origin": "http://evil.example"}]
    for stranger in strangers:
        headers = {"Authorization": own, **stranger}
        assert own_registry.ask("GET", "/subjects", headers=headers)[0] == 403
    assert own_registry.get("/") == {}


def test_bodies_depths_and_media_types_are_bounded(
    own_registry: SchemaRegistry, subject: str
) -> None:
    assert own_registry.try_to_register(subject, '"' + "x" * 2**20 + '"')[0] == 413
    deep = '{"type":"array","items":' * 5000 + '"int"' + "}" * 5000
    status, found = own_registry.try_to_register(subject, deep)
    assert (status, "more than 100 levels deep" in found["message"]) == (422, True)
    messages = "message A {" * 200 + "}" * 200
    assert own_registry.try_to_register(subject, messages, "PROTOBUF")[0] == 422
    asked = own_registry.ask("POST", f"/subjects/{subject}/versions", {}, {"Content-Type": "a/b"})
    assert asked[0] == 415


def test_protobuf_is_compared_in_the_direction_of_the_level(
    own_registry: SchemaRegistry, subject: str
) -> None:
    """As Confluent's registry does; Apicurio's refuses int32 after int64."""
    one = 'syntax = "proto3"; message A { int64 a = 1; }'
    two = 'syntax = "proto3"; message A { int32 b = 1; } message B {}'
    own_registry.register(subject, one, "PROTOBUF")
    own_registry.ask("PUT", f"/config/{subject}", {"compatibility": "FULL"})
    status, found = own_registry.try_to_register(subject, two, "PROTOBUF")
    assert (status, "/B: the message is missing (the old schema reads" in found["message"]) == (
        409, True
    )  # fmt: skip
    own_registry.ask("PUT", f"/config/{subject}", {"compatibility": "BACKWARD"})
    own_registry.register(subject, two, "PROTOBUF")


def test_pages_prefixes_modes_and_what_is_read_only(
    own_registry: SchemaRegistry, subject: str
) -> None:
    for at in range(5):
        own_registry.register(f"{subject}-{at}", FIRST)
    prefix = f"subjectPrefix={subject}"
    assert len(own_registry.get(f"/subjects?{prefix}")) == 5
    assert own_registry.get(f"/subjects?{prefix}&offset=3&limit=1") == [f"{subject}-3"]
    found = own_registry.get(f"/schemas?{prefix}&latestOnly=true&limit=2")
    assert [each["subject"] for each in found] == [f"{subject}-0", f"{subject}-1"]
    path = f"/mode/{subject}-0"
    assert own_registry.get("/mode") == {"mode": "READWRITE"}
    assert own_registry.ask("PUT", path, {"mode": "READONLY"})[0] == 200
    status, refused = own_registry.try_to_register(f"{subject}-0", numbered(0))
    assert (status, refused["error_code"]) == (422, 42205)
    own_registry.register(f"{subject}-0", FIRST)  # it is there
    assert own_registry.ask("DELETE", path) == (200, {"mode": "READONLY"})
    own_registry.register(f"{subject}-0", numbered(0))


def test_a_refusal_names_each_field_and_why(own_registry: SchemaRegistry, subject: str) -> None:
    own_registry.register(subject, FIRST)
    body = {"schema": json.dumps(WITHOUT_DEFAULT)}
    path = f"/compatibility/subjects/{subject}/versions/latest?verbose=true"
    found = own_registry.ask("POST", path, body)[1]
    why = (
        "/note: the field is not written, and has no default (the new schema reads what the old "
        "one writes)"
    )
    assert found == {"is_compatible": False, "messages": [why]}
    refused = own_registry.try_to_register(subject, WITHOUT_DEFAULT)[1]["message"]
    assert refused.endswith(f'earlier schema for subject "{subject}", details: [{why}]')


def test_json_schemas_that_differ_are_not_compared_but_refused(
    own_registry: SchemaRegistry, subject: str
) -> None:
    own_registry.register(subject, {"type": "object"}, "JSON")
    own_registry.register(subject, {"type": "object", "title": "Orders"}, "JSON")
    wider = {"type": "object", "properties": {"title": {"type": "string"}}}
    status, found = own_registry.try_to_register(subject, wider, "JSON")
    assert (status, "set the subject's compatibility to NONE" in found["message"]) == (409, True)
    set_ = own_registry.ask("PUT", f"/config/{subject}", {"compatibility": "NONE"})
    assert set_ == (200, {"compatibility": "NONE"})
    own_registry.register(subject, wider, "JSON")


def test_texts_that_say_the_same_are_one_schema(own_registry: SchemaRegistry, subject: str) -> None:
    name = subject.replace("-", "_")
    spaced = f'{{ "name": "{name}", "fields": [], "type": "record"}}'
    number = own_registry.register(subject, spaced)
    assert own_registry.register(subject, {"type": "record", "name": name, "fields": []}) == number
    shown = own_registry.get(f"/schemas/ids/{number}")["schema"]
    assert shown == f'{{"name":"{name}","fields":[],"type":"record"}}'
    body = {"schema": spaced}
    path = f"/subjects/{subject}-n/versions?normalize=true"
    guid = own_registry.get(f"/schemas/ids/{number}")["guid"]
    assert own_registry.ask("POST", path, body) == (200, {"id": number, "guid": guid})
    by_guid = own_registry.get(f"/schemas/guids/{guid}")
    assert by_guid == own_registry.get(f"/schemas/ids/{number}")
    assert own_registry.get(f"/subjects/{subject}/versions/1")["guid"] == guid
    assert own_registry.code("GET", f"/schemas/guids/{UUID(int=0)}") == 40403
    assert own_registry.code("GET", "/schemas/guids/7") == 404


@pytest.fixture
def killed(tmp_path: Path) -> Any:
    made = SchemaRegistry(tmp_path / "registry")
    made.start()
    yield made
    made.kill()


def test_kill_9_loses_no_answered_id_and_gives_none_twice(killed: SchemaRegistry) -> None:
    answered: list[tuple[str, dict[str, Any], int]] = []
    stop = threading.Event()

    def registering(who: int) -> None:
        at = 0
        while not stop.is_set():
            subject, schema = f"w{who}-{at}", record(name=f"W{who}x{at}")
            try:
                number = killed.register(subject, schema)
            except (OSError, http.client.HTTPException):
                stop.wait(0.01)
                continue
            answered.append((subject, schema, number))
            at += 1

    def enough(wanted: int) -> bool:
        return len(answered) > wanted

    threads = [threading.Thread(target=registering, args=(who,)) for who in range(4)]
    for each in threads:
        each.start()
    for kills in range(1, 5):
        wanted = kills * 40
        eventually(partial(enough, wanted), "that some are answered")
        assert killed.kill() == -signal.SIGKILL
        killed.start()
    stop.set()
    for each in threads:
        each.join()
    numbers = {number for _, _, number in answered}
    assert len(numbers) == len(answered)
    for subject, schema, number in answered:
        found = killed.get(f"/subjects/{subject}/versions/1")
        assert (found["id"], json.loads(found["schema"])) == (number, schema)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-9],
    "begun": lambda data: data + b"0000 torn",
    "flipped": lambda data: data[:-3] + b"x}\n",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_torn_end_is_set_aside_and_its_id_given_to_nobody(
    killed: SchemaRegistry, how: str
) -> None:
    numbers = [killed.register("s", numbered(0)), killed.register("s", numbered(1))]
    assert killed.stop() == 0
    journal = killed.data_dir / "schemas.journal"
    journal.write_bytes(damaged := DAMAGES[how](journal.read_bytes()))
    killed.start()
    (aside,) = killed.data_dir.glob("torn-*.bin")
    assert aside.read_bytes() in damaged
    assert killed.register("s", numbered(2)) not in numbers
    there = killed.get("/subjects/s/versions")
    killed.restart()
    assert killed.get("/subjects/s/versions") == there
    assert list(killed.data_dir.glob("torn-*.bin")) == [aside]
    assert "could not be read" in (killed.data_dir / "registry.log").read_text()


def test_what_a_damaged_line_has_held_is_missed_and_nothing_else(killed: SchemaRegistry) -> None:
    shared = record(name="Shared")
    numbers = [killed.register(f"s{at}", shared) for at in range(2)]
    numbers += [killed.register("s0", {**shared, "doc": "x"}), killed.register("t", FIRST)]
    assert killed.ask("DELETE", "/subjects/s0/versions/1")[0] == 200
    killed.stop()
    journal = killed.data_dir / "schemas.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    (at,) = (n for n, line in enumerate(lines) if b'"s0",1,' in line)
    lines[at] = lines[at].replace(b"Shared", b"Shbred")
    journal.write_bytes(b"".join(lines))
    killed.start()
    assert sorted(killed.get("/subjects")) == ["s0", "t"]  # s1 had nothing but the lost schema
    assert killed.get("/subjects/t/versions/1")["id"] == numbers[3]
    assert killed.register("u", record(name="New")) not in numbers
    (aside,) = killed.data_dir.glob("torn-*.bin")
    assert b"Shbred" in aside.read_bytes()


def test_all_that_was_answered_is_there_after_a_restart(killed: SchemaRegistry) -> None:
    money = {"type": "record", "name": "Money", "fields": []}
    killed.register("money", money)
    reference = {"name": "Money", "subject": "money", "version": -1}
    order = record({"name": "price", "type": "Money"})
    killed.register("order", order, references=[reference])
    for at in range(3):
        killed.register("many", numbered(at))
    killed.register("gone", record(name="Gone"))
    for path in ("/subjects/gone", "/subjects/gone?permanent=true", "/subjects/many/versions/2"):
        assert killed.ask("DELETE", path)[0] == 200
    killed.ask("PUT", "/config", {"compatibility": "FULL"})
    killed.ask("PUT", "/config/many", {"compatibility": "NONE"})
    killed.ask("PUT", "/mode/many", {"mode": "READONLY"})
    paths = [
        "/subjects?deleted=true", "/schemas?deleted=true", "/config", "/config/many", "/mode/many",
        "/subjects/many/versions", "/subjects/money/versions/1/referencedby",
    ]  # fmt: skip
    before = [killed.get(path) for path in paths]
    killed.restart()
    assert [killed.get(path) for path in paths] == before
    assert killed.code("GET", "/schemas/ids/6") == 40403
    assert killed.register("new", record(name="New")) == 7


def test_a_full_disk_changes_nothing(killed: SchemaRegistry) -> None:
    import resource

    killed.register("s", FIRST)
    assert killed.process is not None
    size = (killed.data_dir / "schemas.journal").stat().st_size
    resource.prlimit(killed.process.pid, resource.RLIMIT_FSIZE, (size + 20, size + 20))
    status, found = killed.try_to_register("s", numbered(1))
    assert (status, found["error_code"]) == (500, 50001)
    assert killed.get("/subjects/s/versions") == [1]
    killed.restart()
    assert killed.get("/subjects/s/versions") == [1]
    killed.register("s", numbered(1))


def test_it_ends_when_its_directory_is_gone(killed: SchemaRegistry) -> None:
    killed.register("s", FIRST)
    killed.data_dir.rename(killed.data_dir.with_name("elsewhere"))
    assert killed.process is not None
    assert killed.process.wait(30) == 13
