"""The settings, typed and frozen. One class a section of `nrtctl.toml`; those of servers are in
`config.servers`.

`config.load` fills them; everything else takes a `Config` (or a section) as an argument.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from nrtctl.config.secrets import WithSecrets, of_header
from nrtctl.config.servers import DATABASE, ClickHouse, Kafka, SchemaRegistry
from nrtctl.config.units import AUTO, AUTO_MOST, Duration, Size, Wait
from nrtctl.pipeline import Frozen, Pipeline

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Fetch(WithSecrets):
    """`[fetch]`: the login for `nrtctl produce --input https://…`."""

    token: SecretStr | None = Field(None, description="A bearer token for the server.")
    token_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="The header to send the token in, as in X-Api-Key. Without it the token is "
        "sent as Authorization: Bearer.",
    )
    username: str | None = Field(None, description="The user for basic authentication.")
    password: SecretStr | None = Field(None, description="That user's password.")
    ca_certificate: Path | None = Field(
        None,
        description="PEM file with the authority that signed the server's certificate. Without it "
        "the system's authorities are trusted.",
    )
    client_certificate: Path | None = Field(
        None, description="PEM file with the client's certificate."
    )
    client_key: Path | None = Field(
        None, description="PEM file with the key of the client's certificate, not encrypted."
    )
    timeout: Duration = Field(
        30.0,
        gt=0,
        le=3600,
        description="How long to wait for a connection, and for each piece of a response.",
    )

    _token = field_validator("token")(of_header)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.token is not None and self.username is not None:
            raise ValueError(
                "token: cannot be combined with username and password; leave one of them out"
            )
        for name, needs in (
            ("username", "password"), ("password", "username"), ("token_header", "token"),
            ("client_key", "client_certificate"), ("client_certificate", "client_key"),
        ):  # fmt: skip
            if getattr(self, name) is not None and getattr(self, needs) is None:
                raise ValueError(f"{needs}: is required, since {name} is set")
        return self


class Listen(WithSecrets):
    """`[listen]`: who may send to `nrtctl listen`, and its certificate."""

    token: SecretStr | None = Field(None, description="The bearer token that a sender must have.")
    signature: Literal["github", "stripe", "hex", "base64"] | None = Field(
        None,
        description="How senders sign the body with HMAC-SHA-256: as GitHub or Stripe do, or as "
        "hexadecimal digits or base64 in a header.",
    )
    secret: SecretStr | None = Field(None, description="The secret that signatures are made with.")
    signature_header: str | None = Field(
        None,
        description="The header with the signature. GitHub's and Stripe's are known.",
    )
    signature_tolerance: Duration = Field(
        300.0,
        gt=0,
        le=86400,
        description="How far the time in a signature in Stripe's form may be from now.",
    )
    certificate: Path | None = Field(
        None,
        description="PEM file with the endpoint's certificate and those that signed it. Without it "
        "the endpoint does not use TLS.",
    )
    key: Path | None = Field(None, description="PEM file with the certificate's key.")
    key_password: SecretStr | None = Field(None, description="The password of an encrypted key.")

    @field_validator("token", "secret")
    @classmethod
    def _not_empty(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip():
            raise ValueError("must not be empty, since anybody could guess that")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        for name, needs in (
            ("signature", "secret"), ("secret", "signature"), ("signature_header", "signature"),
            ("certificate", "key"), ("key", "certificate"), ("key_password", "key"),
        ):  # fmt: skip
            if getattr(self, name) is not None and getattr(self, needs) is None:
                raise ValueError(f"{needs}: is required, since {name} is set")
        if self.signature in {"hex", "base64"} and self.signature_header is None:
            raise ValueError(
                f"signature_header: is required, since signature is {self.signature!r}"
            )
        return self


class Batch(Frozen):
    """`[batch]`: when the consumer inserts. The first limit that is reached closes a batch."""

    max_rows: int = Field(
        100_000, ge=1, le=1_000_000, description="A batch with this many messages is closed."
    )
    max_bytes: Size = Field(
        64 * 2**20, ge=2**10, le=2**30, description="A batch of this size is closed."
    )
    max_wait: Wait = Field(
        AUTO,
        description="A batch is closed once its oldest message has waited this long and an insert "
        "can begin (see consumer.max_inserts). With auto this is four times as long as "
        "recent inserts took, from 100ms to 500ms. At most 1h.",
    )

    @property
    def longest_wait(self) -> float:
        """Seconds that `max_wait` may be."""
        return AUTO_MOST if self.max_wait == AUTO else self.max_wait


class Consumer(Frozen):
    """`[consumer]`: the group and its guarantees."""

    group: str = Field(
        "",
        max_length=255,
        description="The consumer group. Without it the group is nrtctl-<table>, or "
        "nrtctl-<database>-<table> where the database has a name of its own, so that two tables "
        "never share one by chance.",
    )
    delivery: Literal["exactly-once", "at-least-once"] = Field(
        "exactly-once",
        description="With exactly-once, batches are declared in Kafka before they are inserted, "
        "and checked after any doubt. With at-least-once a crash can store rows twice.",
    )
    start: Literal["earliest", "latest"] = Field(
        "earliest", description="Where a group without committed offsets begins to read."
    )
    session_timeout: Duration = Field(
        45.0,
        ge=6,
        le=1800,
        description="How long a consumer may be silent before Kafka gives its partitions to "
        "others.",
    )
    max_buffer: Size = Field(
        80 * 2**20,
        ge=2**20,
        description="The size of the messages that are held in memory, for all partitions "
        "together.",
    )
    max_inserts: int = Field(
        2, ge=1, le=64, description="How many inserts may be under way at the same time."
    )
    compiled: bool = Field(
        True,
        description="Take messages out of the Kafka client with compiled code, where nrtctl was "
        "installed with it. Without it the consumer does the same in Python.",
    )


class Local(Frozen):
    """`[local]`: the embedded broker and ClickHouse engine."""

    state_dir: Path | None = Field(
        None,
        description="The directory for data and logs. Without it this is .nrtctl beside "
        "nrtctl.toml, or, if there is no such file, the user's state directory.",
    )
    allow_remote: bool = Field(
        False, description="Let the local stack listen on addresses other than loopback."
    )
    fsync: Literal["never", "interval", "always"] = Field(
        "never",
        description="When the broker syncs its log to the disk: never, within about a second, or "
        "before each answer. A change takes effect when it is next started.",
    )
    auto_create_topics: bool = Field(
        False,
        description="Create a topic when a client first produces to it, as Apache Kafka does by "
        "default. A change takes effect when the broker is next started.",
    )
    auth: Literal["user", "password", "none"] = Field(
        "user",
        description="Who may use the broker. user: the user who started it, and anyone who has its "
        "password; password: only those who have its password; none: anyone who can "
        "connect.",
    )
    max_memory: Size = Field(
        4 * 2**30,
        ge=2**29,
        description="Memory limit of the ClickHouse process. A change takes effect when it is next "
        "started.",
    )
    system_logs: bool = Field(
        False,
        description="Let ClickHouse keep system.query_log and its other logs while it runs, for "
        "three days at most. A change takes effect when it is next started.",
    )


class Stack(Frozen):
    """`[stack]`: what `up` starts."""

    kind: Literal["auto", "local", "docker", "external"] = Field(
        "auto",
        description="What the pipeline runs on. auto: local if both addresses are loopback, docker "
        "between `up --stack docker` and `down`, otherwise external.",
    )


class Config(Frozen):
    """The whole configuration, as one frozen value."""

    kafka: Kafka = Kafka()
    clickhouse: ClickHouse = ClickHouse()
    pipeline: Pipeline
    schema_registry: SchemaRegistry = SchemaRegistry()
    listen: Listen = Listen()
    fetch: Fetch = Fetch()
    batch: Batch = Batch()
    consumer: Consumer = Consumer()
    local: Local = Local()
    stack: Stack = Stack()

    @property
    def stack_kind(self) -> Literal["local", "docker", "external"]:
        if self.stack.kind != "auto":
            return self.stack.kind
        hosts = [*self.kafka.hosts(), self.clickhouse.host()]
        return "local" if all(host in LOOPBACK for host in hosts) else "external"

    @property
    def has_local_registry(self) -> bool:
        """Whether the local stack's registry has the schemas: a pipeline needs one, and nobody has
        said where another is."""
        is_ours = self.stack_kind == "local" and self.schema_registry.url is None
        return is_ours and self.pipeline.needs_registry

    @property
    def default_group(self) -> str:
        """The group where none is configured: two tables never share one by chance."""
        database, table = self.clickhouse.database, self.pipeline.table
        return f"nrtctl-{table}" if database == DATABASE else f"nrtctl-{database}-{table}"

    def of_topic(self, topic: str) -> Self:
        """The part of a pipeline of several topics that reads one, with a group of its own."""
        consumer = self.consumer.model_copy(update={"group": f"{self.consumer.group}/{topic}"})
        pipeline = self.pipeline.of_topic(topic)
        return self.model_copy(update={"pipeline": pipeline, "consumer": consumer})

    @property
    def group_of_all(self) -> str | None:
        """Of such a part: the group of the pipeline; else None."""
        whole, slash, topic = self.consumer.group.rpartition("/")
        mine = self.pipeline.topics is not None and slash and topic == self.pipeline.topic
        return whole if mine else None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.consumer.group:
            consumer = self.consumer.model_copy(update={"group": self.default_group})
            object.__setattr__(self, "consumer", consumer)
        if (
            self.pipeline.needs_registry
            and self.schema_registry.url is None
            and not self.has_local_registry
        ):
            file = self.pipeline.format != "json schema"
            instead = " or pipeline.schema_file" if file else ""
            raise ValueError(
                f"schema_registry.url{instead}: is required, since pipeline.format is "
                f"{self.pipeline.format!r}, and only the local stack has its own registry"
            )
        if self.stack_kind == "local" and not self.local.allow_remote:
            for host in [*self.kafka.hosts(), self.clickhouse.host()]:
                if host not in LOOPBACK:
                    raise ValueError(
                        f"stack.kind: is 'local', but {host} is not a loopback address: "
                        "write 'external', or set local.allow_remote = true"
                    )
        if self.stack_kind == "local" and self.clickhouse.cluster is not None:
            raise ValueError(
                "clickhouse.cluster: the local stack is one server; write stack.kind = 'external'"
            )
        if self.stack_kind != "local":
            for key, port in (
                ("kafka.bootstrap_servers", self.kafka.port()),
                ("clickhouse.url", self.clickhouse.port()),
            ):
                if port == 0:
                    raise ValueError(f"{key}: port 0, any free one, is for the local stack only")
        return self
