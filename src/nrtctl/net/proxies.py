"""Which HTTP proxy a request goes through: none to this machine, else what the environment names.

Called by `clickhouse.client` and `producer.fetching`. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from nrtctl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Proxy:
    """`url`: without user and password; `login`: "user:password" where it has one. As text it is
    what an error may say of it."""

    url: str
    variable: str
    login: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.url} ({self.variable})"


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for an address, by `http_proxy` or `https_proxy` and `no_proxy`, lower case first.

    Loopback is never proxied: what answers there is on this machine, and so is its password.

    Raises:
        ConfigError: what the environment names is no proxy of HTTP. Nothing of it is said, since a
            password in it may end anywhere.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if is_loopback(host) or _excepted(host, port, _value("no_proxy", environ)[1]):
        return None
    variable, text = _value(f"{parts.scheme}_proxy", environ)
    if not text:
        return None
    proxy = _proxy(text if "://" in text else f"http://{text}", variable)
    if proxy is None:
        raise ConfigError(
            f"the environment variable {variable} is not the URL of an HTTP proxy",
            hint="write http://host:port or http://user:password@host:port, and in the password "
            "%2F for /, %40 for @, %3A for :, %23 for # and %3F for ?",
        )
    return proxy


def _proxy(url: str, variable: str) -> Proxy | None:
    try:
        found = urlsplit(url)
        sound = found.scheme in {"http", "https"} and found.hostname and (found.port or 1)
        login, at, place = found.netloc.rpartition("@")
        unquote(login).encode("latin-1")
    except ValueError:
        return None
    if not sound or "@" in url.partition(found.netloc)[2] or any(ord(each) <= 32 for each in url):
        return None
    return Proxy(f"{found.scheme}://{place}", variable, unquote(login) if at else None)


def is_loopback(host: str) -> bool:
    """Whether a name or an address can only be this machine."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def _value(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    for each in (name, name.upper()):
        if text := environ.get(each, "").strip():
            return each, text
    return name, ""


def _excepted(host: str, port: int, text: str) -> bool:
    """As curl and Go read `no_proxy`: names with what is below them, addresses, networks, ports."""
    for entry in text.replace(",", " ").lower().split():
        if entry == "*" or _within(host, entry):
            return True
        name, colon, number = entry.rpartition(":")
        with_port = bool(colon) and number.isdecimal() and (":" not in name or "]" in name)
        if with_port and int(number) == port and _named(host, name.strip("[]")):
            return True
        if not with_port and _named(host, entry.strip("[]")):
            return True
    return False


def _named(host: str, entry: str) -> bool:
    name = entry.removeprefix("*").lstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _within(host: str, entry: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
