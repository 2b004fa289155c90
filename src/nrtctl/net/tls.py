"""Why a TLS connection does not come about, in words, and a look that finds it out.

Called by `kafka.refusals`, `clickhouse.refusals`, `producer.fetching` and `producer.listening`.
OpenSSL's texts are those that Python's `ssl` and librdkafka pass on (openssl:
crypto/x509/x509_txt.c, ssl/ssl_err.c).
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from nrtctl.errors import ConfigError

PEM = "certificates and keys are PEM files"


@dataclass(frozen=True, slots=True)
class Names:
    """The settings of one service: its address, and the files of its TLS."""

    service: str
    address: str
    ca: str
    certificate: str
    key: str
    sealed: str
    """Where the password of a sealed key goes."""
    plain: str
    """What to set for a connection without TLS."""


@dataclass(frozen=True, slots=True)
class Reason:
    """`why` completes "<service> at <address>: …"; `fix` is the setting or the act that helps."""

    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Files:
    """What a client shows and trusts; None: nothing to show, the system's authorities."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str | None = None


_OTHER_NAME = re.compile(r"(?:name|address) mismatch, certificate is not valid for '([^']+)'")
_NO_CLIENT_CERTIFICATE = re.compile("alert (?:certificate required|bad certificate|handshake fail)")
_STRANGE_CLIENT = re.compile("alert (?:unknown ca|access denied|certificate (?:unknown|expired))")
_NO_TLS = re.compile(
    r"wrong version number|record layer failure|packet length too long|PLAINTEXT broker listener",
    re.IGNORECASE,
)


def reason(text: str, names: Names, *, shown: bool) -> Reason | None:
    """What an OpenSSL error means; None: it is none that is known.

    Args:
        shown: whether a client certificate is configured.
    """
    lowered = text.lower().replace("_", " ")
    if "certificate has expired" in lowered:
        return Reason(
            "its certificate has expired", "renew the server's certificate (and check the clocks)"
        )
    if "not yet valid" in lowered:
        return Reason(
            "its certificate is not valid yet", "check the clocks of this machine and of the server"
        )
    if (other := _OTHER_NAME.search(text)) is not None:
        return Reason(
            f"its certificate is for names other than {other[1]}",
            f"use a name from the certificate in {names.address}, or issue the certificate "
            f"for {other[1]}",
        )
    if "self-signed certificate" in lowered or "local issuer" in lowered:
        return Reason(
            "its certificate is signed by an authority that is not trusted here",
            f"set {names.ca} to the authority's certificate (PEM)",
        )
    if _STRANGE_CLIENT.search(lowered) or (shown and _NO_CLIENT_CERTIFICATE.search(lowered)):
        return Reason(
            "it does not accept the client certificate",
            f"set {names.certificate} to a certificate signed by an authority that {names.service} "
            "trusts",
        )
    if _NO_CLIENT_CERTIFICATE.search(lowered):
        return Reason(
            "it asks for a client certificate", f"set {names.certificate} and {names.key}"
        )
    if _NO_TLS.search(lowered):
        return Reason("the server there does not use TLS", names.plain)
    return None


def check(files: Files, names: Names) -> None:
    """Read what a client needs, so that a wrong file is told as such.

    Raises:
        ConfigError: a file cannot be read, or is not what its setting says.
    """
    if files != Files():
        _context(files, names)


def look(host: str, port: int, files: Files, names: Names, *, timeout: float) -> str | None:
    """Shake hands as a client with `files` would; what OpenSSL has against it, None for nothing.

    Raises:
        OSError: nobody listens.
        ConfigError: as `check`.
    """
    return _shake(host, port, _context(files, names), timeout)


def connect(host: str, port: int, files: Files, names: Names, *, timeout: float) -> ssl.SSLSocket:
    """A connection as a client with `files` has it.

    Raises:
        OSError: nobody listens, or the certificates are not accepted.
        ConfigError: as `check`.
    """
    plain = socket.create_connection((host, port), timeout)
    try:
        return _context(files, names).wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def speaks(host: str, port: int, *, timeout: float) -> bool:
    """Whether somebody there answers a TLS handshake, whoever it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return _shake(host, port, context, timeout) is None
    except OSError:
        return False


def _context(files: Files, names: Names) -> ssl.SSLContext:
    if files.ca is None:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _readable(names.ca, files.ca)
        at = {"capath" if files.ca.is_dir() else "cafile": str(files.ca)}
        try:
            context.load_verify_locations(**at)
        except ssl.SSLError:
            raise ConfigError(
                f"{names.ca}: {files.ca}: contains no certificate", hint=PEM
            ) from None
    if files.certificate is not None:
        _show(context, files.certificate, files, names)
    return context


def client_context(files: Files, names: Names) -> ssl.SSLContext:
    """What a client with these files speaks. Raises ConfigError: as `check`."""
    return _context(files, names)


def server_context(files: Files, names: Names) -> ssl.SSLContext:
    """What a server with this certificate speaks: TLS 1.2 or newer.

    Raises:
        ConfigError: as `check`.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.certificate is not None:
        _show(context, files.certificate, files, names)
    return context


def _show(context: ssl.SSLContext, certificate: Path, files: Files, names: Names) -> None:
    _readable(names.certificate, certificate)
    if files.key is not None:
        _readable(names.key, files.key)
    try:
        context.load_cert_chain(certificate, files.key, files.key_password or "")
    except ssl.SSLError as error:
        key = f"{names.key}: {files.key or certificate}"
        if "mismatch" in str(error).lower():
            message = f"{key}: does not belong to the certificate in {names.certificate}"
            raise ConfigError(
                message, hint="give the key that the certificate was issued for"
            ) from None
        raise ConfigError(
            f"{key}: the certificate or the key cannot be read, or it is encrypted with another "
            "password",
            hint=f"{PEM}; {names.sealed}",
        ) from None


def _readable(setting: str, path: Path) -> None:
    try:
        if not path.is_dir():
            path.open("rb").close()
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"{setting}: {path}: {why}", hint=PEM) from None


def _shake(host: str, port: int, context: ssl.SSLContext, timeout: float) -> str | None:
    with socket.create_connection((host, port), timeout) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host):
                return None
        except ssl.SSLError as error:
            return str(error)
