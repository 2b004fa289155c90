"""The HTTP application: Confluent's paths and answers. Started by `__main__`.

Source: https://docs.confluent.io/platform/current/schema-registry/develop/api.html. Contexts,
metadata, rules and the mode IMPORT are not served.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from nrtctl import __version__
from nrtctl.local.registry.compatibility import level_of
from nrtctl.local.registry.refused import Refused, invalid, no_version
from nrtctl.local.registry.schemas import KINDS, MOST_REFERENCES, Reference, Schema, loads
from nrtctl.local.registry.store import MODES, Store, Version
from nrtctl.local.serving import basic, from_another_site
from nrtctl.net import hosts

log = logging.getLogger("nrtctl.local.registry")

USER: Final = "nrtctl"
MEDIA: Final = "application/vnd.schemaregistry.v1+json"
_TAKEN: Final = frozenset(
    {MEDIA, "application/vnd.schemaregistry+json", "application/json", "application/octet-stream"}
)
MOST_BODY: Final = 2**20
MOST_NAME: Final = 512
_LARGEST: Final = 2**31 - 1

Each = TypeVar("Each")


class Registry:
    """An ASGI application. One request is carried out after the other.

    Args:
        check: ends the process where its directory is no longer its own.
    """

    def __init__(
        self, store: Store, *, password: str, host: str, silence: float, check: Callable[[], None]
    ) -> None:
        self._store = store
        self._password = password.encode()
        self._host = host
        self._silence = silence
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            self._let_in(request)
            body = await self._body(request)
            self._check()
            found = self._found(request, body)
            status: int = 200
        except ClientDisconnect:
            return
        except Refused as refused:
            status = refused.status
            found = {"error_code": refused.code, "message": str(refused)}
        except OSError as error:
            log.error("the journal cannot be written: %s", error.strerror)
            status = 500
            found = {"error_code": 50001, "message": f"Error in the backend: {error.strerror}"}
        answer = Response(found if isinstance(found, str) else json.dumps(found), status)
        answer.headers["content-type"] = _media(request)
        if status == 401:
            answer.headers["www-authenticate"] = 'Basic realm="nrtctl"'
        await answer(scope, receive, send)

    def _let_in(self, request: Request) -> None:
        named = request.headers.getlist("host")
        old = not named and request.scope["http_version"] == "1.0"
        if not (old or hosts.allowed(named, self._host)):
            raise Refused(403, "the Host header names another server")
        if from_another_site(request.headers):
            raise Refused(403, "a web page of another site may not send requests")
        given = basic(request.headers.get("authorization", "")) or (b"", b"")
        user = hmac.compare_digest(given[0], USER.encode())
        if not (hmac.compare_digest(given[1], self._password) and user):
            raise Refused(401, "Unauthorized")

    async def _body(self, request: Request) -> bytes:
        found = bytearray()
        try:
            async with asyncio.timeout(self._silence):
                async for piece in request.stream():
                    found += piece
                    if len(found) > MOST_BODY:
                        raise Refused(413, f"the body is larger than {MOST_BODY} bytes")
        except TimeoutError:
            raise Refused(408, "the body did not arrive") from None
        return bytes(found)

    def _found(self, request: Request, body: bytes) -> Any:
        asked = _Asked(request, body)
        match asked.path:
            case [] if asked.is_get:
                return {}
            case ["subjects", *rest]:
                return self._subjects(asked, rest)
            case ["schemas", *rest]:
                return self._schemas(asked, rest)
            case ["compatibility", "subjects", subject, "versions", *rest] if len(rest) < 2:
                return self._compatible(asked, _subject(subject), rest)
            case ["config", *rest] if len(rest) < 2:
                return self._config(asked, _subject(rest[0]) if rest else None)
            case ["mode", *rest] if len(rest) < 2:
                return self._mode(asked, _subject(rest[0]) if rest else None)
            case ["contexts"] if asked.is_get:
                return ["."]
            case ["v1", "metadata", "id"] if asked.is_get:
                clusters = {"schema-registry-cluster": "schema-registry"}
                return {"scope": {"path": [], "clusters": clusters}, "id": ""}
            case ["v1", "metadata", "version"] if asked.is_get:
                return {"version": f"nrtctl {__version__}", "commitId": ""}
        raise Refused(404, "HTTP 404 Not Found")

    # Subjects.

    def _subjects(self, asked: _Asked, path: list[str]) -> Any:
        if not path:
            asked.only("GET")
            found = self._store.subjects(
                deleted=asked.flag("deleted"), only=asked.flag("deletedOnly")
            )
            prefix = asked.text("subjectPrefix")
            return asked.page([each for each in sorted(found) if each.startswith(prefix)])
        subject = _subject(path[0])
        match path[1:]:
            case []:
                asked.only("POST", "DELETE")
                if asked.method == "DELETE":
                    return self._store.delete(subject, permanent=asked.flag("permanent"))
                return self._lookup(asked, subject)
            case ["versions"]:
                asked.only("GET", "POST")
                if asked.method == "POST":
                    schema = self._schema_of(asked)
                    return {"id": self._store.register(subject, schema), "guid": schema.guid}
                return asked.page(self._numbers(asked, subject))
            case ["versions", number]:
                asked.only("GET", "DELETE")
                if asked.method == "GET":
                    return self._with_guid(subject, self._version(asked, subject, number))
                return self._delete(asked, subject, number)
            case ["versions", number, "schema"]:
                asked.only("GET")
                return self._store.schema(self._version(asked, subject, number).id).text
            case ["versions", number, "referencedby"]:
                asked.only("GET")
                found_version = self._version(asked, subject, number)
                return self._store.referring(subject, found_version.number)
        raise Refused(404, "HTTP 404 Not Found")

    def _lookup(self, asked: _Asked, subject: str) -> Any:
        self._store.versions(subject, deleted=asked.flag("deleted"))
        schema = self._schema_of(asked)
        found = self._store.find(subject, schema, deleted=asked.flag("deleted"))
        return self._with_guid(subject, found)

    def _numbers(self, asked: _Asked, subject: str) -> list[int]:
        only = asked.flag("deletedOnly")
        seen = self._store.versions(subject, deleted=only or asked.flag("deleted"))
        return [each.number for each in seen if each.deleted or not only]

    def _version(self, asked: _Asked, subject: str, given: str) -> Version:
        number = _number(given)
        return self._store.version(subject, number, deleted=asked.flag("deleted"))

    def _delete(self, asked: _Asked, subject: str, given: str) -> int:
        number, permanent = _number(given), asked.flag("permanent")
        if number is None:
            number = self._store.version(subject, None, deleted=permanent).number
        return self._store.delete(subject, number, permanent=permanent)[0]

    def _shown(self, subject: str, version: Version) -> dict[str, Any]:
        schema = self._store.schema(version.id)
        found = {"subject": subject, "version": version.number, "id": version.id}
        return found | _as_json(schema)

    def _with_guid(self, subject: str, version: Version) -> dict[str, Any]:
        return {**self._shown(subject, version), "guid": self._store.schema(version.id).guid}

    def _schema_of(self, asked: _Asked) -> Schema:
        body = asked.json()
        kind, text = body.get("schemaType") or "AVRO", body.get("schema")
        if kind not in KINDS:
            raise invalid(f"there is no type of schema {_short(kind)}")
        if not isinstance(text, str) or not text.strip():
            raise invalid("Empty schema")
        if not text.isprintable() and any("\ud800" <= each <= "\udfff" for each in text):
            raise invalid("a character of it is half of a pair")
        for key in ("metadata", "ruleSet", "schemaTagsToAdd", "schemaTagsToRemove"):
            if body.get(key):
                raise invalid(f"'{key}' is not served by this registry")
        normalize = asked.flag("normalize")
        return self._store.accepted(kind, text, _references(body), normalize=normalize)

    # Schemas.

    def _schemas(self, asked: _Asked, path: list[str]) -> Any:
        asked.only("GET")
        match path:
            case []:
                return self._all(asked)
            case ["types"]:
                return list(KINDS)
            case ["ids", given]:
                schema = self._store.schema(_id(given))
                newest = {"maxId": self._store.newest_id} if asked.flag("fetchMaxId") else {}
                return _as_json(schema) | newest | {"guid": schema.guid}
            case ["guids", given]:
                schema = self._store.schema_of(_guid(given))
                return _as_json(schema) | {"guid": schema.guid}
            case ["ids", given, "schema"]:
                return self._store.schema(_id(given)).text
            case ["ids", given, "subjects"]:
                uses = self._store.uses(_id(given), deleted=asked.flag("deleted"))
                return list(dict.fromkeys(subject for subject, _ in uses))
            case ["ids", given, "versions"]:
                uses = self._store.uses(_id(given), deleted=asked.flag("deleted"))
                return [{"subject": subject, "version": version} for subject, version in uses]
        raise Refused(404, "HTTP 404 Not Found")

    def _all(self, asked: _Asked) -> list[dict[str, Any]]:
        """Bounded in what it answers: by default 1,000 at once."""
        deleted, prefix = asked.flag("deleted"), asked.text("subjectPrefix")
        found = []
        for subject in sorted(self._store.subjects(deleted=deleted)):
            if subject.startswith(prefix):
                seen = self._store.versions(subject, deleted=deleted)
                seen = seen[-1:] if asked.flag("latestOnly") else seen
                found += [(subject, each) for each in seen]
        shown: list[dict[str, Any]] = []
        room = MOST_ANSWER
        for subject, each in asked.page(found, most=1000):
            shown.append(self._shown(subject, each))
            room -= len(shown[-1]["schema"])
            if room < 0:
                break
        return shown

    # Whether, and how strictly.

    def _compatible(self, asked: _Asked, subject: str, path: list[str]) -> dict[str, Any]:
        asked.only("POST")
        number = _number(path[0]) if path else None
        try:
            old = [self._store.version(subject, number)] if path else self._store.versions(subject)
        except Refused:
            if number is not None:
                raise no_version(number) from None
            old = []
        found = self._store.faults(subject, self._schema_of(asked), old)
        verbose = {"messages": found} if asked.flag("verbose") else {}
        return {"is_compatible": not found, **verbose}

    def _config(self, asked: _Asked, subject: str | None) -> dict[str, str]:
        asked.only("GET", "PUT", "DELETE")
        if asked.method == "PUT":
            body = asked.json()
            unknown = {key for key, value in body.items() if value is not None} - {"compatibility"}
            if unknown:
                raise Refused(42203, f"{_short(min(unknown))} is not served by this registry")
            level = level_of(body.get("compatibility"))
            self._store.set_level(subject, level)
            return {"compatibility": level}
        level_there = self._store.level(subject)
        if level_there is None and asked.flag("defaultToGlobal"):
            level_there = self._store.level(None)
        if level_there is None:
            raise Refused(
                40408,
                f"Subject '{subject}' does not have subject-level compatibility configured",
            )
        if asked.method == "DELETE":
            self._store.set_level(subject, None)
        return {"compatibilityLevel": level_there}

    def _mode(self, asked: _Asked, subject: str | None) -> dict[str, str]:
        asked.only("GET", "PUT", "DELETE")
        if asked.method == "PUT":
            given = asked.json().get("mode")
            if given not in MODES:
                raise Refused(42204, f"Invalid mode. Valid values are {', '.join(MODES)}")
            self._store.set_mode(subject, given)
            return {"mode": given}
        mode = self._store.mode(subject)
        if mode is None and asked.flag("defaultToGlobal"):
            mode = self._store.mode(None)
        if mode is None:
            raise Refused(40409, f"Subject '{subject}' does not have subject-level mode configured")
        if asked.method == "DELETE":
            self._store.set_mode(subject, None)
        return {"mode": mode}


MOST_ANSWER: Final = 16 * 2**20
"""Characters of the schemas of an answer."""


class _Asked:
    """A request that was read."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.method = "GET" if request.method == "HEAD" else request.method
        self._query = request.query_params
        self._type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._body = body
        raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        pieces = raw.partition(b"?")[0].removeprefix(b"/").removesuffix(b"/").split(b"/")
        try:
            path = [unquote_to_bytes(each).decode() for each in pieces]
        except UnicodeDecodeError:
            raise Refused(400, "HTTP 400 Bad Request") from None
        self.path = [] if path == [""] else path

    @property
    def is_get(self) -> bool:
        return self.method == "GET"

    def only(self, *methods: str) -> None:
        if self.method not in methods:
            raise Refused(405, "HTTP 405 Method Not Allowed")

    def flag(self, name: str) -> bool:
        return self._query.get(name, "").lower() == "true"

    def text(self, name: str) -> str:
        return self._query.get(name, "")

    def page(self, found: list[Each], *, most: int | None = None) -> list[Each]:
        """The part that `offset` and `limit` ask for. Args: most: where `limit` is none."""
        start, limit = self._count("offset"), self._count("limit")
        count = limit if limit > 0 else most
        return found[max(0, start) :][:count]

    def _count(self, name: str) -> int:
        given = self.text(name)
        if not given:
            return 0
        try:
            return int(given[:20])
        except ValueError:
            raise Refused(404, "HTTP 404 Not Found") from None

    def json(self) -> dict[str, Any]:
        """The body. Raises Refused: it is no JSON object."""
        if self._type and self._type not in _TAKEN:
            raise Refused(415, "HTTP 415 Unsupported Media Type")
        try:
            found = loads(self._body.decode())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused(400, "the body is not a JSON object")
        return found


def _media(request: Request) -> str:
    accept = request.headers.get("accept", "")
    wants_json = "application/json" in accept and "schemaregistry" not in accept
    return "application/json" if wants_json else MEDIA


def _subject(name: str) -> str:
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise Refused(42208, f"The specified subject {_short(name)} is not a valid.")
    return name


def _number(given: str) -> int | None:
    """Of a version; None: the newest."""
    if given in {"latest", "-1"}:
        return None
    if given.isascii() and given.isdigit() and 0 < int(given[:20]) <= _LARGEST:
        return int(given)
    raise Refused(
        42202,
        f"The specified version {_short(given)} is not a valid version id. Allowed values are "
        'between [1, 2^31-1] and the string "latest"',
    )


def _id(given: str) -> int:
    if given.isascii() and given.isdigit() and len(given) < 20:
        return int(given)
    raise Refused(404, "HTTP 404 Not Found")


def _guid(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        raise Refused(404, "HTTP 404 Not Found") from None


def _references(body: Mapping[str, Any]) -> list[Reference]:
    given = body.get("references") or []
    if not isinstance(given, list) or len(given) > MOST_REFERENCES:
        raise invalid(f"references are a list of {MOST_REFERENCES} at most")
    found = []
    for each in given:
        match each:
            case {"name": str(name), "subject": str(subject), "version": int(version)}:
                found.append(Reference(name, subject, version))
            case _:
                raise invalid("a reference has a name, a subject and a version")
    return found


def _as_json(schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if schema.kind != "AVRO":
        found["schemaType"] = schema.kind
    if schema.references:
        found["references"] = [each._asdict() for each in schema.references]
    return found | {"schema": schema.text}


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) < 80 else f"{text[:80]}…"
