"""A server whose certificate is not checked, as asked, is not warned of; every other one is."""

from __future__ import annotations

import warnings

from urllib3.exceptions import InsecureRequestWarning

from nrtctl.clickhouse.client import _accept_unverified


def warned(host: str) -> bool:
    text = f"Unverified HTTPS request is being made to host '{host}'. Adding certificate …"
    with warnings.catch_warnings(record=True) as found:
        warnings.warn(text, InsecureRequestWarning, stacklevel=1)
    return bool(found)


def test_only_the_hosts_that_were_asked_for() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        _accept_unverified("https://ch.example:8443", "http://proxy:3128")
        assert not warned("ch.example")
        assert not warned("proxy")
        assert warned("ch-example")
        assert warned("other.example")
