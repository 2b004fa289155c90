"""Why there is no connection to ClickHouse, where a setting mends it. Called by `clickhouse`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from nrtctl import tls
from nrtctl.config.model import ClickHouse
from nrtctl.tls import Reason

LOOK_SECONDS = 3.0

NAMES = tls.Names(
    service="ClickHouse",
    address="clickhouse.url",
    ca="clickhouse.ca_certificate",
    certificate="clickhouse.client_certificate",
    key="clickhouse.client_key",
    sealed="ClickHouse's client key must not be sealed with a password",
    plain="write http:// in clickhouse.url, or the port of HTTPS (8443)",
)

_CUT = re.compile(
    "Remote end closed|Connection reset|Connection aborted|Broken pipe|EOF occurred|HTTPS port"
)


def tls_files(settings: ClickHouse) -> tls.Files:
    """What the configuration shows and trusts."""
    return tls.Files(settings.ca_certificate, settings.client_certificate, settings.client_key)


def no_connection(text: str, url: str, settings: ClickHouse, *, first: bool) -> Reason | None:
    """What the client library's error means; None: nothing that is known.

    Args:
        first: whether ClickHouse has not answered yet. Only then its port is looked at.
    """
    parts = urlsplit(url)
    shown = settings.client_certificate is not None
    encrypted = parts.scheme == "https"
    if encrypted and (found := tls.reason(text, NAMES, shown=shown)) is not None:
        return found
    if not first or _CUT.search(text) is None or parts.hostname is None:
        return None
    port = parts.port or (8443 if encrypted else 8123)
    speaks = tls.speaks(parts.hostname, port, timeout=LOOK_SECONDS)
    if not encrypted and speaks:
        return Reason(
            "it speaks TLS, and this connection does not", "write https:// in clickhouse.url"
        )
    if encrypted and speaks:
        said = "does not accept the" if shown else "asks for a"
        return Reason(
            f"it closes the connection after the handshake, as a server does that {said} client "
            "certificate",
            f"see {NAMES.certificate} and {NAMES.key}",
        )
    return Reason("nothing speaks TLS there", NAMES.plain) if encrypted else None
