"""Which proxy a request goes through, by where it goes and what the environment says."""

from __future__ import annotations

import pytest

from nrtctl.errors import ConfigError
from nrtctl.net.proxies import is_loopback, proxy_for

PROXY = {"HTTP_PROXY": "http://user:p%40ss@proxy:3128", "https_proxy": "secure:3129"}


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.9.8.7", "localhost", "LocalHost.", "db.localhost", "[::1]",
        "[::ffff:127.0.0.1]", "0.0.0.0", "[::]",
    ],
)  # fmt: skip
def test_loopback_is_never_proxied(host: str) -> None:
    assert is_loopback(host.strip("[]"))
    for scheme in ("http", "https"):
        assert proxy_for(f"{scheme}://{host}:8123", PROXY) is None


def test_others_are_proxied_by_their_scheme_and_the_login_is_kept_apart() -> None:
    found = proxy_for("http://ch.example:8123", PROXY)
    assert found is not None
    assert (found.url, found.login) == ("http://proxy:3128", "user:p@ss")
    assert str(found) == "http://proxy:3128 (HTTP_PROXY)"
    assert "p@ss" not in repr(found)
    found = proxy_for("https://ch.example:8443", PROXY)
    assert found is not None
    assert str(found) == "http://secure:3129 (https_proxy)"
    assert proxy_for("https://ch.example", {"HTTP_PROXY": "http://proxy:1"}) is None
    both = {"http_proxy": "http://lower:1", "HTTP_PROXY": "http://upper:1"}
    assert str(proxy_for("http://ch.example", both)) == "http://lower:1 (http_proxy)"


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("*", "http://ch.example:8123", True),
        ("ch.example", "http://ch.example:8123", True),
        ("CH.Example", "http://ch.example:8123", True),
        (".example", "http://ch.example:8123", True),
        ("*.example", "http://ch.example:8123", True),
        ("example", "http://ch.example:8123", True),
        ("ple", "http://ch.example:8123", False),
        ("other, ch.example", "http://ch.example:8123", True),
        ("other ch.example", "http://ch.example:8123", True),
        ("ch.example:8123", "http://ch.example:8123", True),
        ("ch.example:9000", "http://ch.example:8123", False),
        ("10.1.2.3", "http://10.1.2.3:8123", True),
        ("10.0.0.0/8", "http://10.1.2.3:8123", True),
        ("10.0.0.0/8", "http://11.1.2.3:8123", False),
        ("fd00::/8", "http://[fd00::5]:8123", True),
        ("fd00::5", "http://[fd00::5]:8123", True),
        ("[fd00::5]:8123", "http://[fd00::5]:8123", True),
        ("", "http://ch.example:8123", False),
        (",", "http://ch.example:8123", False),
    ],
)
def test_no_proxy_is_honoured(no_proxy: str, url: str, direct: bool) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        assert (proxy_for(url, {**PROXY, name: no_proxy}) is None) == direct


@pytest.mark.parametrize(
    "text",
    [
        "socks5://u:SECRET@proxy:1080", "socks5://u:SEC/RET@proxy:1", "http://u:SEC/RET@proxy:1",
        "u:SEC/RET@proxy:1", "http://u:SEC?RET@proxy:1", "http://u:SEC#RET@proxy:1",
        "http://proxy:SECRET", "http://u:SECRET@", "http://u:SECRET@proxy:99999",
        "http://u:SEC RET@proxy:1", "http://u:SEC[RET@proxy:1", "http://u:SECRET%E2%82%AC%D1@[",
    ],
)  # fmt: skip
def test_what_is_no_proxy_is_refused_without_a_word_of_it(text: str) -> None:
    with pytest.raises(ConfigError, match="HTTP_PROXY is not the URL of an HTTP proxy") as caught:
        proxy_for("http://ch.example:8123", {"HTTP_PROXY": text})
    assert "SEC" not in str(caught.value)
    assert "SEC" not in str(caught.value.hint)
