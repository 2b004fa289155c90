"""Each way to be refused by Apache Kafka is explained by `doctor`, with the setting that mends it.

The configuration comes from variables, as a user sets them. Kafka may take ten minutes to answer:
whoever waited for that instead of listening would never end.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from nrtctl.config.load import Loaded, load_config
from nrtctl.stack.doctor import Check, examine
from tests.plugins.secure_kafka import KEY_PASSWORD, OWNER, SecureKafka

PATIENCE = "10m"


@dataclass(frozen=True)
class Case:
    """`settings`: of `[kafka]`; `{…}` in them is one of the values of `values`."""

    name: str
    listener: str
    settings: Mapping[str, str]
    why: str
    fix: str


TLS = {"security_protocol": "SSL", "ssl_ca_location": "{ca}"}
SHOWN = {
    **TLS, "ssl_certificate_location": "{certificate}", "ssl_key_location": "{key}",
    "ssl_key_password": KEY_PASSWORD,
}  # fmt: skip
LOGIN = {"sasl_mechanism": "PLAIN", "sasl_username": OWNER, "sasl_password": "{password}"}
OVER_TLS = {"security_protocol": "SASL_SSL", "ssl_ca_location": "{ca}", **LOGIN}
PLAINLY = {"security_protocol": "SASL_PLAINTEXT", **LOGIN, "sasl_mechanism": "SCRAM-SHA-512"}
TOKEN = {
    "security_protocol": "SASL_SSL", "ssl_ca_location": "{ca}", "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauth_token_url": "{token_url}", "sasl_oauth_client_id": OWNER,
    "sasl_oauth_client_secret": "{secret}", "sasl_oauth_scope": "kafka",
}  # fmt: skip
UNSIGNED = {
    "security_protocol": "SASL_SSL", "ssl_ca_location": "{ca}", "sasl_mechanism": "OAUTHBEARER",
    "properties": '{{"enable.sasl.oauthbearer.unsecure.jwt": "true", '
    '"sasl.oauthbearer.config": "principal=me"}}',
}  # fmt: skip

CASES = [
    Case("another authority", "TLS", TLS | {"ssl_ca_location": "{strange_ca}"},
         "authority that is not trusted", "kafka.ssl_ca_location"),
    Case("no authority", "TLS", {"security_protocol": "SSL"},
         "authority that is not trusted", "kafka.ssl_ca_location"),
    Case("expired", "EXPIRED", TLS, "has expired", "renew"),
    Case("another host", "ELSEWHERE", TLS, "names other than 127.0.0.1",
         "kafka.bootstrap_servers"),
    Case("no certificate", "MUTUAL", TLS, "asks for a client certificate",
         "kafka.ssl_certificate_location"),
    Case("a stranger's certificate", "MUTUAL",
         TLS | {"ssl_certificate_location": "{strange}", "ssl_key_location": "{strange_key}"},
         "does not accept the client certificate", "kafka.ssl_certificate_location"),
    Case("no TLS to a TLS port", "TLS", {}, "expects TLS, and this connection does not use it",
         "kafka.security_protocol to SSL"),
    Case("TLS to a plain port", "PLAINTEXT", TLS, "does not use TLS", "PLAINTEXT"),
    Case("no login", "SCRAM", {}, "requires a login", "SASL_PLAINTEXT"),
    Case("no login over TLS", "SASL", TLS, "requires a login", "SASL_SSL"),
    Case("a login without TLS to a TLS port", "SASL", PLAINLY, "expects TLS", "SASL_SSL"),
    Case("a login over TLS to a plain port", "SCRAM", OVER_TLS, "does not use TLS",
         "SASL_PLAINTEXT"),
    Case("a login where none is taken", "TLS", OVER_TLS, "does not support logins",
         "kafka.security_protocol to SSL"),
    Case("another mechanism", "SCRAM", PLAINLY | {"sasl_mechanism": "PLAIN"},
         "does not support the login PLAIN, only SCRAM-SHA-512", "kafka.sasl_mechanism"),
    Case("wrong password, PLAIN", "SASL", OVER_TLS | {"sasl_password": "wrong"},
         f"does not accept the user {OWNER!r}", "NRTCTL_KAFKA__SASL_PASSWORD"),
    Case("wrong password, SCRAM", "SASL",
         OVER_TLS | {"sasl_password": "wrong", "sasl_mechanism": "SCRAM-SHA-256"},
         f"does not accept the user {OWNER!r}", "kafka.sasl_username"),
    Case("wrong client secret", "OAUTH", TOKEN | {"sasl_oauth_client_secret": "wrong"},
         "refuses the client", "NRTCTL_KAFKA__SASL_OAUTH_CLIENT_SECRET"),
    Case("another scope", "OAUTH", TOKEN | {"sasl_oauth_scope": "other"},
         "does not grant the scope", "kafka.sasl_oauth_scope"),
    Case("no token endpoint", "OAUTH", TOKEN | {"sasl_oauth_token_url": "http://127.0.0.1:1/t"},
         "does not issue a token", "kafka.sasl_oauth_token_url"),
    Case("a token that nobody signed", "OAUTH", UNSIGNED, "does not accept the token", "issuer"),
    Case("no such file", "TLS", TLS | {"ssl_ca_location": "/nonexistent/ca.pem"},
         "kafka.ssl_ca_location: /nonexistent/ca.pem: no such file", "PEM"),
    Case("no certificate in the file", "TLS", TLS | {"ssl_ca_location": "{key}"},
         "contains no certificate", "PEM"),
    Case("a sealed key", "MUTUAL", SHOWN | {"ssl_key_password": "wrong"},
         "encrypted with another password", "NRTCTL_KAFKA__SSL_KEY_PASSWORD"),
    Case("another's key", "MUTUAL", SHOWN | {"ssl_key_location": "{strange_key}"},
         "does not belong to the certificate", "issued for"),
]  # fmt: skip
FINE = {
    "TLS": TLS, "MUTUAL": SHOWN, "SASL": OVER_TLS, "SCRAM": PLAINLY, "OAUTH": TOKEN,
    "PLAINTEXT": {},
}  # fmt: skip


def load(kafka: SecureKafka, directory: Path, listener: str, settings: Mapping[str, str]) -> Loaded:
    """Not for two threads at once."""
    values = {
        "ca": kafka.authority.ca, "certificate": kafka.client.certificate, "key": kafka.client.key,
        "strange_ca": kafka.stranger.ca, "strange": kafka.unknown.certificate,
        "strange_key": kafka.unknown.key, "password": kafka.passwords[OWNER],
        "token_url": kafka.tokens.token_url, "secret": kafka.tokens.secret,
    }  # fmt: skip
    environ = {f"NRTCTL_KAFKA__{n.upper()}": v.format(**values) for n, v in settings.items()}
    return load_config(
        environ=environ
        | {
            "HOME": str(directory),
            "NRTCTL_STACK__KIND": "external",
            "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": kafka.addresses[listener],
            "NRTCTL_KAFKA__CONNECT_TIMEOUT": PATIENCE,
            "NRTCTL_CLICKHOUSE__URL": "http://127.0.0.1:1",
        },
        cwd=directory,
    )


def ask(loaded: Loaded) -> Check:
    """What `doctor` says of Kafka."""
    return examine(loaded.config, loaded.state_dir, "kafka")[0]


@pytest.fixture(scope="module")
def said(
    secure_kafka: SecureKafka, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Check]:
    """What `doctor` says in each case; asked side by side, as each one waits for a second."""
    directory = tmp_path_factory.mktemp("refusals")
    loaded = [load(secure_kafka, directory, each.listener, each.settings) for each in CASES]
    with ThreadPoolExecutor(8) as pool:
        return dict(zip([case.name for case in CASES], pool.map(ask, loaded), strict=True))


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_a_refusal_is_explained(said: Mapping[str, Check], case: Case) -> None:
    check = said[case.name]
    assert (check.name, check.ok) == ("Kafka answers", False)
    assert case.why in check.found
    assert check.fix is not None
    assert case.fix in check.fix


@pytest.mark.parametrize("listener", FINE)
def test_what_is_right_is_not_refused(
    secure_kafka: SecureKafka, tmp_path: Path, listener: str
) -> None:
    check = ask(load(secure_kafka, tmp_path, listener, FINE[listener]))
    assert (check.name, check.ok) == ("Kafka answers", True), check
