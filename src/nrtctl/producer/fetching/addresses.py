"""Which addresses are fetched from, and where a redirect may lead. Pure. Used by `answers`."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.net.proxies import is_loopback


def is_address(text: str) -> bool:
    """Whether an input is one, and no file."""
    return text.lower().startswith(("http://", "https://"))


def checked(url: str, *, allow_http: bool) -> str:
    """Raises ConfigError: it is none, holds a password, or is not to be asked without TLS."""
    try:
        parts = urlsplit(url)
        sound = parts.hostname and (parts.port or 1)
    except ValueError:
        sound = False
    if not sound or any(ord(each) <= 32 for each in url):
        raise ConfigError(f"{shown(url)!r} is not a URL: write https://host/path")
    if "@" in parts.netloc:
        raise ConfigError(
            "a user and a password in a URL can be seen by others",
            hint="set fetch.username and NRTCTL_FETCH__PASSWORD, or NRTCTL_FETCH__TOKEN",
        )
    if parts.scheme.lower() == "http" and not (allow_http or is_loopback(parts.hostname or "")):
        raise ConfigError(
            f"{shown(url)} is not encrypted: anybody could change what it sends",
            hint="write https://, or add --allow-http",
        )
    return urlunsplit(parts._replace(fragment=""))


def shown(url: str) -> str:
    """What is said of it: a query may hold a key."""
    head = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = head.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{mark}{place.rpartition('@')[2]}{slash}{path}"


def with_parameter(url: str, name: str, value: str) -> str:
    """The address with a parameter of its query, which takes the place of one that is there."""
    parts = urlsplit(url)
    kept = [each for each in parse_qsl(parts.query, keep_blank_values=True) if each[0] != name]
    return urlunsplit(parts._replace(query=urlencode([*kept, (name, value)])))


def origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}[scheme]


def redirected(url: str, location: str, *, allow_http: bool) -> str:
    """Where the answer of `url` leads.

    Raises:
        NrtctlError: to another scheme, or out of this machine without TLS; or nowhere.
    """
    why = "only URLs with the same scheme are"
    target = location = location.strip()
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        same = parts.scheme.lower() == urlsplit(url).scheme.lower() and parts.hostname
        sound = location and same and "@" not in parts.netloc and (parts.port or 1)
        plain = parts.scheme.lower() == "http" and not is_loopback(parts.hostname or "")
        if sound and plain and not allow_http:
            sound, why = False, "it is not encrypted, and not on this machine"
    except ValueError:
        sound = False
    if not sound:
        raise NrtctlError(
            f"{shown(url)} redirects to {shown(target)!r}, which is not followed: {why}",
            hint="fetch from that URL if you trust it",
        )
    return urlunsplit(parts._replace(fragment=""))
