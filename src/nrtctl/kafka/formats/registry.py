"""A schema registry, as far as its schemas are read and written. Asked by `opening`.

Confluent's REST API, which Karapace, Apicurio and Redpanda have too:
https://docs.confluent.io/platform/current/schema-registry/develop/api.html. With urllib3, which is
there: why not confluent-kafka's own client says docs/decisions/0053.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import urllib3

from nrtctl.config.servers import SchemaRegistry
from nrtctl.errors import ConfigError, ConnectError, NrtctlError
from nrtctl.kafka.formats.wire import RegistryAway, SchemaName

MOST_BYTES = 16 * 2**20
"""Of an answer."""

MOST_REFERENCES = 100
"""Schemas that one is made of."""

_MEDIA = "application/vnd.schemaregistry.v1+json"
_NO_SCHEMA, _NO_SUBJECT, _NO_VERSION = 40403, 40401, 40402
_NO_ID = 0
"""The ids of schemas begin with 1."""

_BY_GUID = "/schemas/guids/"
_REFUSED = {401, 403}
_CONFLICT, _INVALID = 409, 422
_LOGIN = "schema_registry.username and .password, or .token"


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema. Attributes: kind: AVRO, JSON or PROTOBUF. references: name to text of the schemas
    that it names, each after those that it names itself."""

    kind: str
    text: str
    references: Mapping[str, str] = field(default_factory=dict)


class Registry:
    """Asks one request at a time; each takes `timeout` at most."""

    def __init__(self, settings: SchemaRegistry) -> None:
        """Raises ConfigError: no address, or the certificates cannot be read."""
        if settings.url is None:
            raise ConfigError(
                "schema_registry.url is not set, and the pipeline's format needs it",
                hint='write it as url = "http://host:8081" in [schema_registry]',
            )
        self._url = settings.url.rstrip("/")
        self._headers = {"Accept": f"{_MEDIA}, application/json", **_login(settings)}
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=settings.timeout),
            retries=False,
            ssl_context=_context(settings) if self._url.startswith("https") else None,
        )

    @property
    def url(self) -> str:
        return self._url

    def close(self) -> None:
        self._pool.clear()

    def check(self) -> None:
        """Raises as `schema`."""
        self._ask("GET", f"/schemas/ids/{_NO_ID}", {_NO_SCHEMA, 404})

    def schema(self, name: SchemaName) -> Registered | None:
        """None: the registry has none of this id or GUID.

        Raises:
            RegistryAway: it does not answer.
            ConnectError: it refuses the login.
        """
        where = "/schemas/ids/" if isinstance(name, int) else _BY_GUID
        found = self._ask("GET", f"{where}{name}", {_NO_SCHEMA})
        return None if found is None else self._registered(found)

    def register(self, subject: str, kind: str, text: str) -> int:
        """The id of the schema, which is a version of the subject from now on.

        Raises:
            RegistryAway, ConnectError: as `schema`.
            NrtctlError: the registry does not take it.
        """
        body = {"schema": text} if kind == "AVRO" else {"schema": text, "schemaType": kind}
        found = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", set(), body)
        return self._number(found, "id") if found is not None else 0

    def latest(self, subject: str) -> tuple[int, Registered] | None:
        """(id, schema) of the newest version; None: there is no such subject. Raises as
        `schema`."""
        path = f"/subjects/{quote(subject, safe='')}/versions/latest"
        found = self._ask("GET", path, {_NO_SUBJECT, _NO_VERSION})
        return None if found is None else (self._number(found, "id"), self._registered(found))

    def _registered(self, found: dict[str, Any]) -> Registered:
        texts: dict[str, str] = {}
        text = self._text(found, "schema")
        self._collect(found, texts, {})
        return Registered(str(found.get("schemaType") or "AVRO"), text, texts)

    def _collect(
        self, found: dict[str, Any], texts: dict[str, str], seen: dict[tuple[str, int], str]
    ) -> None:
        """Args: seen: the texts by subject and version: a schema may have two names."""
        references = found.get("references") or []
        if not isinstance(references, list):
            raise self._unlike("references")
        for each in references:
            if not isinstance(each, dict):
                raise self._unlike("references")
            key = (self._text(each, "subject"), self._number(each, "version"))
            name = self._text(each, "name")
            if key in seen:
                if seen[key]:
                    texts.setdefault(name, seen[key])
                continue
            seen[key] = ""
            if len(seen) > MOST_REFERENCES:
                raise self._away(f"a schema refers to more than {MOST_REFERENCES} others")
            path = f"/subjects/{quote(key[0], safe='')}/versions/{key[1]}?deleted=true"
            other = self._ask("GET", path, set())
            if other is not None:
                self._collect(other, texts, seen)
                seen[key] = self._text(other, "schema")
                texts.setdefault(name, seen[key])

    def _text(self, found: dict[str, Any], name: str) -> str:
        """Raises RegistryAway: the answer has none of this name."""
        if not isinstance(text := found.get(name), str):
            raise self._unlike(name)
        return text

    def _number(self, found: dict[str, Any], name: str) -> int:
        """Raises RegistryAway: the answer has none of this name."""
        number = found.get(name)
        if not isinstance(number, int) or isinstance(number, bool):
            raise self._unlike(name)
        return number

    def _unlike(self, name: str) -> RegistryAway:
        return self._away(f"it answers 200, but not with {name} as a schema registry does")

    def _ask(
        self, method: str, path: str, absent: set[int], body: object = None
    ) -> dict[str, Any] | None:
        """Args: absent: error codes that mean: there is no such thing."""
        headers = dict(self._headers)
        data = None
        if body is not None:
            headers["Content-Type"] = _MEDIA
            data = json.dumps(body).encode()
        try:
            answer = self._pool.request(
                method, self._url + path, body=data, headers=headers, redirect=False,
                preload_content=False,
            )  # fmt: skip
            try:
                text = answer.read(MOST_BYTES + 1)
            finally:
                answer.drain_conn() if answer.length_remaining == 0 else answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._away(_words(error)) from error
        except ValueError:  # whose words may quote a header, with the login in it
            raise ConfigError(
                f"the schema registry at {self._url} cannot be asked: a header of the request "
                "would not be valid",
                hint=f"check {_LOGIN}",
            ) from None
        if len(text) > MOST_BYTES:
            raise self._away("its answer is too long")
        return self._understood(path, answer.status, text, absent)

    def _understood(
        self, path: str, status: int, text: bytes, absent: set[int]
    ) -> dict[str, Any] | None:
        if status in _REFUSED:
            raise ConnectError(
                f"the schema registry at {self._url} refuses the login ({status})",
                hint=f"check {_LOGIN}",
            )
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        code = found.get("error_code") if isinstance(found, dict) else None
        if status == 404 and path.startswith(_BY_GUID) and code not in absent:
            raise RegistryAway(
                f"the schema registry at {self._url} has no schemas by their GUIDs, which the "
                "messages name in a header",
                hint="use a registry that has /schemas/guids, or let producers write ids: "
                "PrefixSchemaIdSerializer",
            )
        if not isinstance(found, dict):
            raise self._away(f"it answers {status}, unlike a schema registry")
        if status == 200:
            return found
        message = str(found.get("message", ""))[:500]
        if code in absent:
            return None
        if status in {_CONFLICT, _INVALID}:
            raise NrtctlError(f"the schema registry does not accept the schema: {message}")
        raise self._away(f"it answers {status}: {message}")

    def _away(self, why: str) -> RegistryAway:
        return RegistryAway(
            f"the schema registry at {self._url} does not answer: {why}",
            hint="check schema_registry.url, and that the registry runs (`nrtctl up` starts the "
            "local one)",
        )


def _login(settings: SchemaRegistry) -> dict[str, str]:
    if settings.token is not None:
        return {"Authorization": f"Bearer {settings.token.get_secret_value()}"}
    if settings.username is not None and settings.password is not None:
        pair = f"{settings.username}:{settings.password.get_secret_value()}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _context(settings: SchemaRegistry) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_certificate)
        if settings.client_certificate is not None:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"schema_registry: the certificates cannot be read: {error}",
            hint="ca_certificate, client_certificate and client_key are PEM files",
        ) from error
    return context


def _words(error: Exception) -> str:
    """What happened, without the names of Python's objects."""
    cause = getattr(error, "reason", None) or error
    text = re.sub(r"^(?:<.*>|\w+\(.*?\)): ", "", str(cause))
    return text or type(cause).__name__
