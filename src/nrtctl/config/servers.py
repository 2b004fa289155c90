"""The settings of the servers that a pipeline speaks to. One class a section of `nrtctl.toml`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from nrtctl.config.secrets import WithSecrets, of_header
from nrtctl.config.units import Duration
from nrtctl.pipeline import ClusterName, Identifier

DATABASE = "nrt"

SAME_AS_OURS = {"partition.assignment.strategy": "cooperative-sticky"}
REFUSED_PROPERTIES = {
    "enable.auto.commit": "nrtctl commits offsets itself, after the rows are stored",
    "enable.auto.offset.store": "nrtctl commits offsets itself, after the rows are stored",
    "group.id": "set consumer.group",
    "bootstrap.servers": "set kafka.bootstrap_servers",
    "check.crcs": "the checksum of every message is checked, so that no damage is stored",
    "group.protocol": "only the classic group protocol can carry intents",
    "partition.assignment.strategy": "partitions move one by one, as only cooperative-sticky can",
}


class Kafka(WithSecrets):
    """`[kafka]`: how to reach the brokers."""

    bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        description="Addresses of the brokers as host:port, separated by commas. Port 0 takes any "
        "free port, for the local stack only.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Whether connections are encrypted, and whether clients log in."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = (
        Field(None, description="How to log in. Required with SASL_PLAINTEXT and SASL_SSL.")
    )
    sasl_username: str | None = Field(None, description="The user for PLAIN and SCRAM.")
    sasl_password: SecretStr | None = Field(None, description="The password for PLAIN and SCRAM.")
    sasl_oauth_token_url: str | None = Field(
        None,
        description="The token endpoint for OAUTHBEARER (OAuth 2, client credentials).",
    )
    sasl_oauth_client_id: str | None = Field(None, description="The client for OAUTHBEARER.")
    sasl_oauth_client_secret: SecretStr | None = Field(
        None, description="The client's secret for OAUTHBEARER."
    )
    sasl_oauth_scope: str | None = Field(
        None, description="The scope to ask the token endpoint for."
    )
    sasl_oauth_ca_location: Path | None = Field(
        None,
        description="PEM file with the authority that signed the token endpoint's certificate. "
        "Without it the system's authorities are trusted.",
    )
    ssl_ca_location: Path | None = Field(
        None,
        description="PEM file with the authority that signed the brokers' certificates. Without it "
        "the system's authorities are trusted.",
    )
    ssl_certificate_location: Path | None = Field(
        None, description="PEM file with the client's certificate."
    )
    ssl_key_location: Path | None = Field(
        None, description="PEM file with the key of the client's certificate."
    )
    ssl_key_password: SecretStr | None = Field(
        None, description="The password of an encrypted key."
    )
    connect_timeout: Duration = Field(
        10.0, gt=0, description="How long a command waits for Kafka's first answer."
    )
    properties: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="Any librdkafka property by its own name, passed on as it is. It takes "
        "precedence over the keys above.",
    )

    _login_file: Path | None = PrivateAttr(None)

    @property
    def login_file(self) -> Path | None:
        """Where the local broker's password is found, once it has one; None: no local broker."""
        return self._login_file

    def with_login_file(self, path: Path | None) -> Self:
        made = self.model_copy()
        made._login_file = path
        return made

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, value: str) -> str:
        if "@" in value:
            raise ValueError("write the user and password in sasl_username and sasl_password")
        for address in value.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
                raise ValueError(f"{address.strip()!r} is not an address: write host:port")
        return value

    @field_validator("sasl_oauth_token_url")
    @classmethod
    def _token_url(cls, value: str | None) -> str | None:
        if value is not None and "@" in value:
            raise ValueError("write the client and its secret in sasl_oauth_client_id and _secret")
        if value is not None and not re.match(r"https?://[^/\s]+", value):
            raise ValueError("must be a URL: https://host/path")
        return value

    @field_validator("properties")
    @classmethod
    def _properties(cls, value: dict[str, str]) -> dict[str, str]:
        for name, wanted in value.items():
            if name in REFUSED_PROPERTIES and wanted != SAME_AS_OURS.get(name):
                raise ValueError(f"{name!r} cannot be set here: {REFUSED_PROPERTIES[name]}")
        return value

    @model_validator(mode="after")
    def _login(self) -> Self:
        if self.sasl_mechanism is not None and "SASL" not in self.security_protocol:
            raise ValueError(
                "security_protocol: must be 'SASL_SSL' or 'SASL_PLAINTEXT', "
                "since sasl_mechanism is set"
            )
        named = self.sasl_mechanism or {"sasl.mechanism", "sasl.mechanisms"} & set(self.properties)
        if "SASL" in self.security_protocol and not named:
            raise ValueError(
                f"sasl_mechanism: is required, since security_protocol is "
                f"'{self.security_protocol}'"
            )
        needed = [
            ("ssl_key_location", "ssl_certificate_location"),
            ("ssl_certificate_location", "ssl_key_location"),
        ]
        if self.sasl_mechanism == "OAUTHBEARER":
            if not any(name.startswith("sasl.oauthbearer.") for name in self.properties):
                needed += [
                    ("sasl_mechanism", f"sasl_oauth_{name}")
                    for name in ("token_url", "client_id", "client_secret")
                ]
        elif self.sasl_mechanism is not None:
            needed += [
                ("sasl_mechanism", name)
                for name in ("sasl_username", "sasl_password")
                if name.replace("_", ".") not in self.properties
            ]
        for name, needs in needed:
            if getattr(self, name) is not None and getattr(self, needs) is None:
                raise ValueError(f"{needs}: is required, since {name} is set")
        return self

    def hosts(self) -> list[str]:
        return [
            address.strip().rpartition(":")[0].strip("[]")
            for address in self.bootstrap_servers.split(",")
        ]

    def port(self) -> int:
        """The port of the first address."""
        return int(self.bootstrap_servers.split(",")[0].rpartition(":")[2])


class ClickHouse(WithSecrets):
    """`[clickhouse]`: how to reach ClickHouse's HTTP interface."""

    url: str = Field(
        "http://127.0.0.1:8123",
        description="Address as http://host:port or https://host:port. Port 0 takes any free port, "
        "for the local stack only.",
    )
    database: Identifier = Field(
        DATABASE, description="The database of all tables and views. `up` creates it."
    )
    cluster: ClusterName | None = Field(
        None,
        description="The name of a cluster in remote_servers, over whose shards and replicas the "
        "tables are spread. Without it there is one server.",
    )
    username: str = Field("default", description="The user to log in as.")
    password: SecretStr | None = Field(
        None,
        description="The user's password. It is not needed for the local stack.",
    )
    ca_certificate: Path | None = Field(
        None,
        description="PEM file with the authority that signed the server's certificate. Without it "
        "the well-known authorities are trusted.",
    )
    client_certificate: Path | None = Field(
        None,
        description="PEM file with the client's certificate, which is also the login if there is "
        "no password.",
    )
    client_key: Path | None = Field(
        None, description="PEM file with the key of the client's certificate, not encrypted."
    )
    verify: bool = Field(
        True, description="Check the server's certificate. Turn it off for a trial only."
    )
    connect_timeout: Duration = Field(10.0, gt=0, description="How long to wait for a connection.")
    request_timeout: Duration = Field(
        60.0,
        gt=0,
        description="How long to wait for an answer. An insert without an answer is sent again.",
    )
    settings: dict[str, str | int | float] = Field(
        default_factory=dict,
        repr=False,
        description="ClickHouse settings to send with every statement.",
    )

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            sound = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
        except ValueError:
            sound = False
        if "@" in value:
            raise ValueError("write the user and password in clickhouse.username and .password")
        if "?" in value or "#" in value:
            raise ValueError(
                "takes nothing behind ? or #: write a user and a password in clickhouse.username "
                "and .password, and settings in clickhouse.settings"
            )
        if not sound:
            raise ValueError(f"{value!r} is not a URL: write http://host:8123 or https://host:8443")
        return value

    @model_validator(mode="after")
    def _files(self) -> Self:
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_certificate: is required, since client_key is set")
        return self

    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port if parts.port is not None else (8443 if parts.scheme == "https" else 8123)


class SchemaRegistry(WithSecrets):
    """`[schema_registry]`: where the schemas are that `pipeline.format` needs."""

    url: str | None = Field(
        None,
        description="URL of the schema registry as http://host:port or https://host:port, with its "
        "path if it has one. Without it `nrtctl up` starts one in the local stack.",
    )
    username: str | None = Field(None, description="The user for basic authentication.")
    password: SecretStr | None = Field(None, description="That user's password.")
    token: SecretStr | None = Field(
        None, description="A bearer token, instead of a user and a password."
    )
    ca_certificate: Path | None = Field(
        None,
        description="PEM file with the authority that signed the registry's certificate. Without "
        "it the system's authorities are trusted.",
    )
    client_certificate: Path | None = Field(
        None, description="PEM file with the client's certificate."
    )
    client_key: Path | None = Field(
        None, description="PEM file with the key of the client's certificate, not encrypted."
    )
    subject_name_strategy: Literal["topic", "record", "topic and record"] = Field(
        "topic",
        description="The name that `produce` gives a schema's subject: the topic with -value, the "
        "full name of the record, or the topic with that name. Messages are read by "
        "their schema's id, whatever its subject is called.",
    )
    timeout: Duration = Field(
        5.0, gt=0, le=60, description="How long to wait for an answer before the next try."
    )

    _token = field_validator("token")(of_header)

    @field_validator("url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if "@" in value:
            raise ValueError(
                "write the user and password in schema_registry.username and .password"
            )
        try:
            parts = urlsplit(value)
            sound = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
        except ValueError:
            sound = False
        if "?" in value or "#" in value:
            raise ValueError(
                "takes nothing behind ? or #: write a login in schema_registry.username and "
                ".password, or .token"
            )
        if not sound:
            raise ValueError(f"{value!r} is not a URL: write http://host:8081 or https://host:8081")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.token is not None and self.username is not None:
            raise ValueError(
                "token: cannot be combined with username and password; leave one of them out"
            )
        for name, needs in (
            ("username", "password"), ("password", "username"),
            ("client_key", "client_certificate"),
        ):  # fmt: skip
            if getattr(self, name) is not None and getattr(self, needs) is None:
                raise ValueError(f"{needs}: is required, since {name} is set")
        return self
