"""Why there is no connection to ClickHouse, where a setting mends it, and which right is missing.

Called by `client`.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from nrtctl.config.servers import ClickHouse
from nrtctl.net import tls
from nrtctl.net.tls import Reason

LOOK_SECONDS = 3.0

NAMES = tls.Names(
    service="ClickHouse",
    address="clickhouse.url",
    ca="clickhouse.ca_certificate",
    certificate="clickhouse.client_certificate",
    key="clickhouse.client_key",
    sealed="ClickHouse's client key must not be encrypted with a password",
    plain="write http:// in clickhouse.url, or the port of HTTPS (8443)",
)

_CUT = re.compile(
    "Remote end closed|Connection reset|Connection aborted|Broken pipe|EOF occurred|HTTPS port"
)

_RIGHTS = (
    re.compile(r"\(Missing permissions: (.+?)\)\."),
    re.compile(r"necessary to have the grant (.+?)\.?(?: \(|$)"),
)
_COLUMNS = re.compile(r"\([^)]*\)| for at least one column")
_WITH_OPTION = " WITH GRANT OPTION"
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def missing_right(text: str) -> str | None:
    """What ClickHouse says, of its error 497, that the user lacks; None: it does not say."""
    return next((found[1] for each in _RIGHTS if (found := each.search(text))), None)


def grant(right: str, settings: ClickHouse) -> str:
    """The statement that gives the right, on whole tables."""
    where = "" if settings.cluster is None else f"ON CLUSTER '{settings.cluster}' "
    option = _WITH_OPTION if right.endswith(_WITH_OPTION) else ""
    user = settings.username
    if not _PLAIN_NAME.fullmatch(user):
        user = "`" + user.replace("\\", "\\\\").replace("`", "\\`") + "`"
    return f"GRANT {where}{_COLUMNS.sub('', right.removesuffix(option))} TO {user}{option}"


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
            "it expects TLS, and this connection does not use it",
            "write https:// in clickhouse.url",
        )
    if encrypted and speaks:
        said = "does not accept the" if shown else "asks for a"
        return Reason(
            f"it closes the connection after the handshake, as a server that {said} client "
            "certificate does",
            f"see {NAMES.certificate} and {NAMES.key}",
        )
    return Reason("the server there does not use TLS", NAMES.plain) if encrypted else None
