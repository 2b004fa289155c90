"""What `nrtctl listen` makes of a request: its events, who sends it, how much of it is taken."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from nrtctl.config.model import Listen
from nrtctl.errors import ConfigError
from nrtctl.kafka.formats.encoder import DoesNotFit
from nrtctl.producer.listening import bodies
from nrtctl.producer.listening.app import Limits
from nrtctl.producer.listening.events import Form, form_of, split
from nrtctl.producer.listening.login import Login, Scheme, Signature, signature_text
from nrtctl.producer.listening.refused import Refused
from nrtctl.producer.listening.requests import Taking, Target, messages, shape_of
from nrtctl.producer.listening.room import Parsing, Room, objects_bytes
from nrtctl.producer.listening.serving import Options, check_open, login_of

MOST = 10
LONG = "1" + "0" * 400
ROOMY = Parsing(lambda size: None)
CLOUD = {"specversion": "1.0", "id": "7", "source": "/s", "type": "made"}


def refusal(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.status, caught.value.why


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (None, Form.CONTENT),
        ("", Form.CONTENT),
        ("application/x-www-form-urlencoded", Form.CONTENT),
        ("application/json", Form.JSON),
        ("Application/JSON; charset=UTF-8", Form.JSON),
        ('application/json; a="; charset=x\\"; charset=x"; Charset = "Utf-8"', Form.JSON),
        ("application/vnd.github+json", Form.JSON),
        ("text/json", Form.JSON),
        ("application/x-ndjson", Form.LINES),
        ("application/jsonl", Form.LINES),
        ("application/cloudevents+json; charset=utf-8", Form.STRUCTURED),
        ("application/cloudevents-batch+json", Form.BATCH),
    ],
)
def test_the_content_type_says_what_a_body_is(kind: str | None, form: Form) -> None:
    assert form_of(kind) is form


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "text/csv", "application/json; charset=latin-1",
        "multipart/form-data; boundary=x", "json", "application/xml", ";", "a/b/c",
        'application/json; a="b"; charset="latin-1"', "application/json; charset=",
        "application/json; charset=utf-8; charset=utf-16",
    ],
)  # fmt: skip
def test_other_content_types_are_refused(kind: str) -> None:
    assert refusal(lambda: form_of(kind))[0] == 415


def test_a_long_content_type_is_refused_before_it_is_read() -> None:
    beginning = 'application/json; "'
    assert form_of(beginning.ljust(256, ";")) is Form.JSON
    status, why = refusal(lambda: form_of(beginning.ljust(257, ";")))
    assert status == 415
    assert why.startswith("the content type is longer than 256 characters; send application/json")


@pytest.mark.parametrize(
    ("body", "form", "events"),
    [
        ('{"a": 1.50}', Form.JSON, ['{"a": 1.50}']),
        (r'[{"a":"\\"},{"b":"]\"}"}]', Form.JSON, [r'{"a":"\\"}', r'{"b":"]\"}"}']),
        (' \n{"a":1}\r\n', Form.JSON, ['{"a":1}']),
        ('[{"a":1} , {"b":"ä]"},[2]]', Form.JSON, ['{"a":1}', '{"b":"ä]"}', "[2]"]),
        ('[{"n": 12345678901234567890123}]', Form.JSON, ['{"n": 12345678901234567890123}']),
        (f'[{{"n":{LONG}}}, [-{LONG}]]', Form.JSON, [f'{{"n":{LONG}}}', f"[-{LONG}]"]),
        (f'{{"n":{LONG}}}\n{{}}', Form.CONTENT, [f'{{"n":{LONG}}}', "{}"]),
        ("[]", Form.JSON, []),
        ("[\n]\n", Form.JSON, []),
        ('\ufeff[{"a":1}]', Form.JSON, ['{"a":1}']),
        ('{"a":1}\n\n  {"b":2}\r\n', Form.LINES, ['{"a":1}', '{"b":2}']),
        ('{"a":1}\n[{"b":2}]', Form.LINES, ['{"a":1}', '[{"b":2}]']),
        ('{"a":1}', Form.CONTENT, ['{"a":1}']),
        ('{"a":1}\n{"b":2}', Form.CONTENT, ['{"a":1}', '{"b":2}']),
        ('{"a":\n1}', Form.CONTENT, ['{"a":\n1}']),
        ('[{"a":1},\n{"b":2}]\n', Form.CONTENT, ['{"a":1}', '{"b":2}']),
        ('[1]\n[2]', Form.CONTENT, ["[1]", "[2]"]),
    ],
)  # fmt: skip
def test_events_are_taken_byte_for_byte(body: str, form: Form, events: list[str]) -> None:
    assert split(body.encode(), form, MOST, ROOMY) == [each.encode() for each in events]


@pytest.mark.parametrize(
    ("body", "form", "status", "why"),
    [
        (b"", Form.JSON, 400, "the body is empty"),
        (b" \n\t", Form.LINES, 400, "the body is empty"),
        (b"{", Form.JSON, 400, "the body is not JSON"),
        (b'{"a":1} x', Form.JSON, 400, "the body is not JSON"),
        (b'{"a":1}\n{"b":2}', Form.JSON, 400, "the body is not JSON"),
        (b"5", Form.JSON, 400, "the body is a number, not an object"),
        (b"null", Form.JSON, 400, "the body is null, not an object"),
        (b'[{},{"a":NaN}]', Form.JSON, 400, "event 2 of the array is not JSON"),
        (b"[{},{},]", Form.JSON, 400, "event 3 of the array is not JSON"),
        (b'[{},"x"]', Form.JSON, 400, "event 2 of the array is a text, not an object"),
        (b"[{} {}]", Form.JSON, 400, "after event 1 of the array, neither a comma"),
        (b"[{}", Form.JSON, 400, "after event 1 of the array, neither a comma"),
        (b"[", Form.JSON, 400, "event 1 of the array is not JSON"),
        (b"[{}][{}]", Form.JSON, 400, "something follows the array"),
        (b'[{"a":"\xff"}]', Form.JSON, 400, "event 1 of the array is not JSON"),
        (b'[{},{"a":1]', Form.JSON, 400, "event 2 of the array is not JSON"),
        (b'[{},{"a":"]}', Form.JSON, 400, "event 2 of the array is not JSON: it does not end"),
        (b"[1.5e3 , {}]", Form.JSON, 400, "event 1 of the array is a number, not an object"),
        (b'{"a":"\xff"}', Form.LINES, 400, "event 1, in line 1, is not JSON"),
        (b"{}\n\n{]\n", Form.LINES, 400, "event 2, in line 3, is not JSON"),
        (b"{}\ntrue\n", Form.CONTENT, 400, "event 2, in line 2, is true or false, not an object"),
        (b"[" * 100_000, Form.JSON, 400, "event 1 of the array is not JSON"),
        (b"{}\n" * 11, Form.LINES, 413, "the request has more than 10 events"),
        (b"[" + b"{}," * 10 + b"{}]", Form.JSON, 413, "the request has more than 10 events"),
        (b"{}", Form.BATCH, 400, "a batch of CloudEvents is a JSON array"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    body: bytes, form: Form, status: int, why: str
) -> None:
    found = refusal(lambda: split(body, form, MOST, ROOMY))
    assert found[0] == status
    assert found[1].startswith(why)


def taken(
    body: Any, given: dict[str, str], target: Target, **taking: Any
) -> list[tuple[bytes | None, bytes, Any]]:
    raw = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    how = Taking(MOST, **taking)
    return messages(text, shape_of(raw, how), target, how, ROOMY)


JSON = {"content-type": "application/json"}


def test_keys_come_from_the_value_or_from_a_header() -> None:
    target = Target("t", key=("user", "id"))
    body = [{"user": {"id": "ü"}}, {"user": {"id": 7}}, {"user": None}]
    assert [key for key, _, _ in taken(body, JSON, target)] == ["ü".encode(), b"7", None]
    with_header = taken(body, {**JSON, "x-key": "k"}, target, key_header="x-key")
    assert [key for key, _, _ in with_header] == [b"k"] * 3
    assert taken(body, JSON, target, key_header="x-key")[1][0] == b"7"
    assert taken(body, JSON, Target("t"))[0][0] is None


def test_chosen_headers_go_with_each_message() -> None:
    (event,) = taken({}, {**JSON, "x-github-event": "push"}, Target("t"),
                     headers=("X-GitHub-Event", "X-Other"))  # fmt: skip
    assert event[2] == [("X-GitHub-Event", b"push")]
    assert taken({}, JSON, Target("t"), headers=("X-Other",))[0][2] is None


def test_a_structured_cloudevent_is_the_value_whole() -> None:
    event = {**CLOUD, "partitionkey": "p", "data": {"a": 1}}
    kind = {"content-type": "application/cloudevents+json"}
    ((key, value, headers),) = taken(event, kind, Target("t", key=("id",)))
    assert (key, json.loads(value)) == (b"p", event)
    assert headers == [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    del event["partitionkey"]
    assert taken(event, kind, Target("t", key=("id",)))[0][0] == b"7"


def test_a_batch_says_which_event_is_none() -> None:
    kind = {"content-type": "application/cloudevents-batch+json"}
    assert len(taken([CLOUD, CLOUD], kind, Target("t"))) == 2
    wrong = {**CLOUD, "id": ""}
    assert refusal(lambda: taken([CLOUD, wrong], kind, Target("t"))) == (
        400, "event 2 of the batch lacks the attribute id, a string",
    )  # fmt: skip
    assert refusal(lambda: taken([{**CLOUD, "specversion": "2"}], kind, Target("t")))[0] == 400


def test_attributes_of_a_binary_cloudevent_are_headers() -> None:
    binary = {f"ce-{name}": value for name, value in CLOUD.items()} | {
        "ce-subject": '"a\\"b"', "ce-partitionkey": "Euro%20%E2%82%AC", **JSON,
    }  # fmt: skip
    ((key, value, headers),) = taken(b' {"a":1}', binary, Target("t", key=("a",)))
    assert (key, value) == ("Euro €".encode(), b'{"a":1}')
    assert ("ce_subject", b'a"b') in headers
    assert ("ce_id", b"7") in headers
    assert ("content-type", b"application/json") in headers
    (event,) = taken(b"[1]", binary, Target("t"))
    assert event[1] == b"[1]", "the data of one event is not taken apart"


@pytest.mark.parametrize(
    "change",
    [{"ce-id": ""}, {"ce-specversion": "9"}, {"ce-a_b": "x"}, {"ce-source": "%ff"},
     {"content-type": "application/x-ndjson"}],
)  # fmt: skip
def test_a_binary_cloudevent_that_is_none(change: dict[str, str]) -> None:
    binary = {f"ce-{name}": value for name, value in CLOUD.items()} | JSON | change
    assert refusal(lambda: taken({}, binary, Target("t")))[0] in {400, 415}


def test_an_event_that_the_schema_does_not_fit_is_named() -> None:
    def encode(value: bytes) -> bytes:
        if b"x" in value:
            raise DoesNotFit("id is missing")
        return b"encoded"

    assert taken([{"id": 1}], JSON, Target("t", encode=encode))[0][1] == b"encoded"
    assert refusal(lambda: taken([{}, {"x": 1}], JSON, Target("t", encode=encode))) == (
        400, "event 2 does not fit the schema: id is missing",
    )  # fmt: skip


NOW = 1_700_000_000


def signed(scheme: Scheme, body: bytes, secret: bytes = b"s", at: int = NOW) -> str:
    if scheme == "stripe":
        digest = hmac.new(secret, b"%d." % at + body, "sha256").hexdigest()
        return f"t={at},v0=x,v1={'0' * 64},v1={digest}"
    made = hmac.new(secret, body, "sha256")
    if scheme == "base64":
        return base64.b64encode(made.digest()).decode()
    return ("sha256=" if scheme == "github" else "") + made.hexdigest()


@pytest.mark.parametrize("scheme", ["github", "stripe", "hex", "base64"])
def test_signatures(scheme: Scheme) -> None:
    header = "X-Sign" if scheme in {"hex", "base64"} else None
    signature = Signature(scheme, b"s", header, 60)
    signature.check(signed(scheme, b"body"), b"body", NOW)
    for wrong in (
        signed(scheme, b"body", secret=b"t"), signed(scheme, b"bodY"), "", "sha256=", "=" * 44,
        signed(scheme, b"body")[:-1], "ä", "t=1", f"t={NOW},v1=", f"t={NOW},t={NOW},v1=00",
    ):  # fmt: skip
        assert refusal(partial(signature.check, wrong, b"body", NOW))[0] == 401


@pytest.mark.parametrize("away", [-61, 61])
def test_an_old_signature_of_stripe_is_refused(away: int) -> None:
    signature = Signature("stripe", b"s", None, 60)
    signature.check(signed("stripe", b"b"), b"b", NOW + away * 60 / 61)
    said = refusal(lambda: signature.check(signed("stripe", b"b"), b"b", NOW + away))
    assert said[0] == 401
    assert "more than 60 s from now" in said[1]


def test_a_token_or_a_signature_is_enough() -> None:
    signature = Signature("github", b"s")
    both = Login(b"tok", signature)
    assert Login().before_body({}) is None
    assert both.before_body({"authorization": ["Bearer tok"]}) is None
    assert both.before_body({"x-hub-signature-256": ["sha256=…"]}) is signature
    for headers in (
        {}, {"authorization": ["Bearer wrong"]}, {"authorization": ["Basic tok"]},
        {"authorization": ["Bearer tok", "Bearer tok"]},
        {"authorization": ["Bearer t"], "x-hub-signature-256": ["x"]},
    ):  # fmt: skip
        assert refusal(partial(both.before_body, headers))[0] == 401
    assert refusal(lambda: Login(None, signature).before_body({}))[0] == 401
    several = {"x-hub-signature-256": ["a", "b"]}
    assert refusal(lambda: signature_text(several, signature))[0] == 401
    assert "tok" not in repr(both)


def test_settings_of_a_login() -> None:
    assert login_of(Listen()).open
    assert not login_of(Listen(token="t")).open
    found = login_of(Listen(signature="hex", secret="s", signature_header="X-S"))
    assert found.signature is not None
    assert found.signature.name == "X-S"
    for wrong in (
        {"token": " "}, {"secret": "s"}, {"signature": "github"}, {"certificate": "c"},
        {"signature": "hex", "secret": "s"}, {"key": "k"},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            Listen(**wrong)


def test_without_a_login_only_loopback_is_listened_at() -> None:
    def options(host: str, *, anybody: bool = False) -> Options:
        return Options(host, 0, anybody, Limits(1, 1, 1), Taking(1), 1, 1)

    check_open(Login(), options("127.0.0.1"))
    check_open(Login(b"t"), options("0.0.0.0"))
    check_open(Login(), options("0.0.0.0", anybody=True))
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
        with pytest.raises(ConfigError, match="there is no login"):
            check_open(Login(), options(host))


def test_room_is_shared_and_given_back() -> None:
    room = Room(100)
    with room.claim() as one, room.claim() as other:
        one.take(60)
        assert refusal(lambda: other.take(41))[0] == 429
        assert room.full
        other.take(40)
        other.give_back(10)
        assert room.used == 90
        never = refusal(lambda: other.take(71))
        assert never[0] == 413, "to send it again later would not help"
        assert "--max-waiting" in never[1]
    assert (room.used, room.full) == (0, False)


def test_what_is_unpacked_is_bounded_before_it_is_held() -> None:
    claimed: list[int] = []
    text = b'{"a":1}\n' * 1000
    assert bodies.unpacked(gzip.compress(text), 2**20, claimed.append) == text
    assert sum(claimed) == len(text)
    claimed.clear()
    bomb = gzip.compress(b" " * 50 * 2**20)
    assert refusal(lambda: bodies.unpacked(bomb, 2**20, claimed.append))[0] == 413
    assert sum(claimed) <= 2**20
    for damaged in (b"x", bomb[:-9], gzip.compress(text) + b"more", gzip.compress(text)[:-4]):
        assert refusal(partial(bodies.unpacked, damaged, 2**30, claimed.append))[0] == 400


@pytest.mark.parametrize("form", [Form.JSON, Form.LINES, Form.CONTENT])
def test_what_a_parser_makes_of_an_event_has_room_before_it_is_parsed(form: Form) -> None:
    """Dense JSON becomes objects of many times its bytes; of one event at a time."""
    dense = b'{"a":[' + b'{"":0},' * 10_000 + b"{}]}"
    cost = objects_bytes(dense)
    assert cost > 30 * len(dense)
    room = Room(cost - 1)
    with room.claim() as claim:
        assert refusal(lambda: split(dense, form, MOST, Parsing(claim.take)))[0] == 413
    room = Room(cost)
    body = b"\n".join([dense] * 3) if form is not Form.JSON else b"[%b]" % b",".join([dense] * 3)
    with room.claim() as claim:
        with claim.further() as objects:
            assert split(body, form, MOST, Parsing(objects.take)) == [dense] * 3
            assert room.used == cost
        assert room.used == 0
        claim.take(1)
        with claim.further() as objects:
            assert refusal(lambda: objects.take(cost))[0] == 413
            objects.take(cost - 1)
            assert refusal(lambda: claim.take(1))[0] == 429


def test_headers_of_a_body() -> None:
    assert bodies.encoding_of({"content-encoding": ["GZIP"]}) == "gzip"
    assert bodies.encoding_of({"content-encoding": ["identity"]}) == ""
    assert refusal(lambda: bodies.encoding_of({"content-encoding": ["gzip", "gzip"]}))[0] == 415
    assert refusal(lambda: bodies.encoding_of({"content-encoding": ["br"]}))[0] == 415
    assert bodies.length_of({"content-length": ["3"]}) == 3
    both = {"content-length": ["3"], "transfer-encoding": ["chunked"]}
    assert refusal(lambda: bodies.length_of(both))[0] == 400
    assert refusal(lambda: bodies.length_of({"content-length": ["3", "3"]}))[0] == 400
