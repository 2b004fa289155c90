"""What librdkafka says when Kafka cannot be reached, and what it means. Called by `error_codes`.

librdkafka's calls end with "timed out" or "transport failure"; the cause is in its error events
and log lines alone. Its words are those of src/rdkafka_ssl.c, rdkafka_sasl.c, rdkafka_broker.c.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nrtctl.config.servers import Kafka
from nrtctl.errors import ConfigError, ConnectError
from nrtctl.net import tls
from nrtctl.net.tls import Reason

log = logging.getLogger("nrtctl.librdkafka")
log.addHandler(logging.NullHandler())

KEPT = 100
LOOK_SECONDS = 3.0
PASSWORD = "kafka.sasl_password (NRTCTL_KAFKA__SASL_PASSWORD)"  # noqa: S105
PROTOCOL = "kafka.security_protocol"

NAMES = tls.Names(
    service="Kafka",
    address="kafka.bootstrap_servers",
    ca="kafka.ssl_ca_location",
    certificate="kafka.ssl_certificate_location",
    key="kafka.ssl_key_location",
    sealed="kafka.ssl_key_password (NRTCTL_KAFKA__SSL_KEY_PASSWORD) decrypts an encrypted key",
    plain=f"set {PROTOCOL} to PLAINTEXT or SASL_PLAINTEXT, or use the port of the TLS listener",
)

TOKEN_NAMES = dataclasses.replace(NAMES, ca="kafka.sasl_oauth_ca_location")

_WHERE = re.compile(r"([\w.-]+|\[[\da-fA-F:]+\]):(\d+)/(?:bootstrap|\d+)")
_MECHANISMS = re.compile(r"Unsupported SASL mechanism: broker's supported mechanisms: ?(\S*)")
_TOKEN = re.compile(r"Failed to acquire SASL OAUTHBEARER token: (.*)")
_CLOSED = re.compile(r"Disconnected.*in state APIVERSION_QUERY")
_CLOSED_AFTER = re.compile(r"Disconnected.*in state UP")
_AFTER = re.compile(r"\(after \d+ms")
_CONNECT = re.compile(r"Connect to \S+ failed: ([^(]+)|Failed to (resolve '[^']+': [^(]+)")


class ClientLog:
    """The error callback and the logger of one client: keeps what was said, and passes it on.

    Args:
        forward: is told each error event as well.
    """

    def __init__(self, settings: Kafka, forward: Callable[[Any], None] | None) -> None:
        self._settings = settings
        self._forward = forward
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._answered = False
        self.has_another = False
        """Whether another client of the same brokers tells of all that is not fatal."""
        self.listen: Callable[[str], None] | None = None
        """Told each line of the log, which then goes nowhere else."""

    def __call__(self, error: Any) -> None:
        """librdkafka's error callback."""
        self._keep(error.str())
        if self.has_another and not error.fatal():
            return
        if self._forward is not None:
            self._forward(error)
        else:
            log.info("%s: %s", error.name(), error.str())

    def beside(self) -> ClientLog:
        """Of another client of the same brokers, which tells of them in this one's stead."""
        self.has_another = True
        return ClientLog(self._settings, self._forward)

    def log(self, level: int, words: str, *arguments: Any) -> None:
        """The part of a Logger that confluent-kafka uses."""
        if self.listen is not None:
            self.listen(words % arguments)
            return
        self._keep(words % arguments)
        log.log(level, words, *arguments)

    def _keep(self, line: str) -> None:
        self._lines.append(_AFTER.sub("(after", line))

    def answered(self) -> None:
        """Kafka has answered: what was said before is settled."""
        self._answered = True
        self._lines.clear()

    def refusal(self, address: str) -> ConnectError | None:
        """Why Kafka cannot be reached, None where nothing was said that explains it."""
        away = set()
        for line in dict.fromkeys(reversed(self._lines)):
            at = _where(line)
            if _CONNECT.search(line) is not None:
                away.add(at)
            if at is not None and at in away:
                continue
            found = explain(line, self._settings, first=not self._answered)
            if found is not None:
                where = f"{at[0]}:{at[1]}" if at is not None else address
                return ConnectError(f"Kafka at {where}: {found.why}", hint=found.fix)
        return None

    def last(self) -> str | None:
        """What was said last of a broker, where nothing explains it: the network's own words."""
        for line in reversed(self._lines):
            if (found := _CONNECT.search(line)) is not None:
                return (found[1] or f"cannot {found[2]}").strip()
            if _where(line) is not None:
                return _said(line)
        return None


def explain(line: str, settings: Kafka, *, first: bool) -> Reason | None:
    """What a line of librdkafka's means; None: nothing, or nothing that a setting mends.

    Where librdkafka itself does not know the cause, Kafka's certificate is looked at.

    Args:
        first: whether Kafka has not answered yet: a connection that ends then was not wanted.
    """
    return (
        _login(line, settings)
        or _encryption(line, settings)
        or (_unwanted(line, settings) if first else None)
    )


def _login(line: str, settings: Kafka) -> Reason | None:
    if (takes := _MECHANISMS.search(line)) is not None:
        return Reason(
            f"it does not support the login {settings.sasl_mechanism}, only {takes[1] or 'none'}",
            "set kafka.sasl_mechanism to one of these",
        )
    if settings.login_file is not None and "SASL" in line:
        return _stranger(line, settings.login_file)
    if "Request not valid in current SASL state" in line:
        plain = settings.security_protocol.removeprefix("SASL_")
        return Reason(
            "this listener does not support logins",
            f"set {PROTOCOL} to {plain}, or use the port of a SASL listener",
        )
    if (said := _TOKEN.search(line)) is not None:
        return _token(said[1], settings)
    if "SASL" not in line or ("authentication" not in line.lower() and "failed" not in line):
        return None
    if settings.sasl_mechanism == "OAUTHBEARER":
        return Reason(
            f"it does not accept the token: {_said(line)}",
            "check what the broker expects: issuer, audience, scope (kafka.sasl_oauth_scope)",
        )
    return Reason(
        f"it does not accept the user {settings.sasl_username!r} with this password "
        f"({settings.sasl_mechanism})",
        f"check kafka.sasl_username and {PASSWORD}",
    )


def _stranger(line: str, login_file: Path) -> Reason | None:
    """What answers where the local broker should, and does not know its password."""
    if "Request not valid in current SASL state" in line:
        return Reason(
            "it does not ask for a login, unlike the broker of this stack",
            "run `nrtctl down`, then `nrtctl up`, or see in `nrtctl status` whether another Kafka "
            "answers",
        )
    if "authentication" not in line.lower() and "failed" not in line:
        return None
    return Reason(
        f"it does not know the password in {login_file}, so it is not this stack's broker, or was "
        "started with another password",
        "`nrtctl status` shows what is running; `nrtctl down`, then `nrtctl up` restart it",
    )


def _token(said: str, settings: Kafka) -> Reason:
    at = f"the token endpoint {settings.sasl_oauth_token_url}"
    lowered = said.lower()
    if "invalid_scope" in lowered:
        return Reason(f"{at} does not grant the scope: {said}", "check kafka.sasl_oauth_scope")
    if any(word in lowered for word in ("client", "401", "403", "unauthorized")):
        return Reason(
            f"{at} refuses the client: {said}",
            "check kafka.sasl_oauth_client_id and kafka.sasl_oauth_client_secret "
            "(NRTCTL_KAFKA__SASL_OAUTH_CLIENT_SECRET)",
        )
    if any(word in lowered for word in ("ssl", "certificate")):
        return Reason(
            f"{at} has a certificate that is not trusted here: {said}",
            "set kafka.sasl_oauth_ca_location to its authority's certificate (PEM)",
        )
    return Reason(f"{at} does not issue a token: {said}", "check kafka.sasl_oauth_token_url")


def _encryption(line: str, settings: Kafka) -> Reason | None:
    if not settings.security_protocol.endswith("SSL"):
        return None
    unverified = "certificate verify failed" in line
    text = (_look(line, settings) or line) if unverified else line
    found = tls.reason(text, NAMES, shown=settings.ssl_certificate_location is not None)
    if found is None and unverified:
        return Reason(
            "its certificate could not be verified",
            f"see {NAMES.ca}, and the names and dates in the certificate",
        )
    return found


def _unwanted(line: str, settings: Kafka) -> Reason | None:
    encrypted = settings.security_protocol.endswith("SSL")
    at = _where(line)
    if _CLOSED.search(line) and not encrypted and at is not None:
        if not tls.speaks(*at, timeout=LOOK_SECONDS):
            return None
        protocol = settings.security_protocol.replace("PLAINTEXT", "SSL")
        return Reason(
            "it expects TLS, and this connection does not use it",
            f"set {PROTOCOL} to {protocol}, with {NAMES.ca}",
        )
    if _CLOSED_AFTER.search(line) and not settings.security_protocol.startswith("SASL"):
        return Reason(
            "it closes the connection at the first request, as a listener that requires a login "
            "does",
            f"set {PROTOCOL} to SASL_{settings.security_protocol}, with kafka.sasl_mechanism, "
            f"kafka.sasl_username and {PASSWORD}; for a local stack, `nrtctl status --connect` "
            "prints them to the user who started it",
        )
    return None


def _look(line: str, settings: Kafka) -> str | None:
    at = _where(line)
    if at is None:
        return None
    try:
        return tls.look(*at, tls_files(settings), NAMES, timeout=LOOK_SECONDS)
    except (OSError, ConfigError):
        return None


def tls_files(settings: Kafka) -> tls.Files:
    """What the configuration shows and trusts."""
    password = settings.ssl_key_password
    return tls.Files(
        settings.ssl_ca_location,
        settings.ssl_certificate_location,
        settings.ssl_key_location,
        password.get_secret_value() if password is not None else None,
    )


def _where(line: str) -> tuple[str, int] | None:
    """The broker that a line is about."""
    found = _WHERE.search(line)
    if found is None:
        return None
    return found[1].strip("[]"), int(found[2])


def _said(line: str) -> str:
    """A line without the broker before it and the state after it."""
    text = re.sub(r"^.*/(?:bootstrap|\d+): ", "", line).partition(" (after")[0]
    return text.removeprefix("SASL authentication error: ")
