"""A pytest plugin: one node of Apache Kafka whose listeners ask for certificates and passwords.

`secure_kafka` is session-scoped, and skipped or failed like `apache_kafka`. Users are held to ACLs;
whoever comes over PLAINTEXT, with a client certificate or as OWNER may do everything.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.plugins.apache_kafka import ApacheKafka, Unavailable, available_jars, unavailable
from tests.plugins.certificates import Authority
from tests.plugins.token_endpoint import AUDIENCE, CLIENT, TokenEndpoint

LISTENERS = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "EXPIRED": "SSL",
    "ELSEWHERE": "SSL",
    "SASL": "SASL_SSL",
    "SCRAM": "SASL_PLAINTEXT",
    "OAUTH": "SASL_SSL",
}
HERE = ("localhost", "127.0.0.1")
OWNER, LIMITED = "pipeline", "limited"
KEY_PASSWORD = "planted-key-" + secrets.token_hex(6)


class SecureKafka(ApacheKafka):
    """`passwords`: of OWNER and LIMITED, by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.

    Listeners: TLS; MUTUAL, which asks for `client`; EXPIRED and ELSEWHERE with a certificate that
    has, or is for another host; SASL (over TLS) and SCRAM (without; SCRAM-SHA-512 only); OAUTH.
    """

    def __init__(self, directory: Path, jars: Path) -> None:
        self.authority = Authority(directory / "certificates")
        self.stranger = Authority(directory / "stranger")
        self.client = self.authority.issue("client", "client.example", password=KEY_PASSWORD)
        self.unknown = self.stranger.issue("unknown", "unknown.example")
        self.passwords = {name: "planted-" + secrets.token_hex(8) for name in (OWNER, LIMITED)}
        self.tokens = TokenEndpoint("planted-" + secrets.token_hex(8))
        certificates = {
            "tls": self.authority.issue("server", *HERE),
            "expired": self.authority.issue("expired", *HERE, expired=True),
            "elsewhere": self.authority.issue("elsewhere", "kafka.elsewhere.example"),
        }
        settings: dict[str, object] = {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{OWNER};User:{CLIENT};User:client",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
        }
        for name, protocol in LISTENERS.items():
            prefix = f"listener.name.{name.lower()}"
            if protocol.endswith("SSL"):
                issued = certificates.get(name.lower(), certificates["tls"])
                settings |= {
                    f"{prefix}.ssl.keystore.type": "PEM",
                    f"{prefix}.ssl.keystore.location": issued.both,
                    f"{prefix}.ssl.truststore.type": "PEM",
                    f"{prefix}.ssl.truststore.location": self.authority.ca,
                    f"{prefix}.ssl.client.auth": "required" if name == "MUTUAL" else "none",
                }
        modules = "org.apache.kafka.common.security"
        users = " ".join(f'user_{name}="{word}"' for name, word in self.passwords.items())
        scram = f"{modules}.scram.ScramLoginModule required;"
        validator = f"{modules}.oauthbearer.OAuthBearerValidatorCallbackHandler"
        oauth = "listener.name.oauth"
        settings |= {
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.sasl.plain.sasl.jaas.config": f"{modules}.plain.PlainLoginModule "
            f"required {users};",
            "listener.name.sasl.scram-sha-256.sasl.jaas.config": scram,
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": scram,
            f"{oauth}.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{oauth}.oauthbearer.sasl.jaas.config": f"{modules}.oauthbearer."
            "OAuthBearerLoginModule required;",
            f"{oauth}.oauthbearer.sasl.server.callback.handler.class": validator,
            f"{oauth}.oauthbearer.sasl.oauthbearer.jwks.endpoint.url": self.tokens.keys_url,
            f"{oauth}.oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
        }
        super().__init__(
            directory,
            jars,
            listeners=LISTENERS,
            settings=settings,
            format_options=[
                argument
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                for name, word in self.passwords.items()
                for argument in ("--add-scram", f"{mechanism}=[name={name},password={word}]")
            ],
            java_options=[
                f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.tokens.keys_url}"
            ],
        )

    def allow(
        self, kind: ResourceType, name: str, *operations: AclOperation, user: str = LIMITED
    ) -> None:
        """Give `user` rights on one resource; they are in force when this returns."""
        bindings = [
            AclBinding(
                kind,
                name,
                ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                each,
                AclPermissionType.ALLOW,
            )
            for each in operations
        ]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_acls(bindings).values():
            future.result(30)

    def stop(self) -> None:
        super().stop()
        self.tokens.close()


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    try:
        jars = available_jars()
    except Unavailable as reason:
        unavailable(reason)
    kafka = SecureKafka(tmp_path_factory.mktemp("secure-kafka"), jars)
    try:
        kafka.start()
        yield kafka
    finally:
        kafka.stop()
