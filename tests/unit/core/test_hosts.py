"""Which names a Host header may hold."""

from __future__ import annotations

import pytest

from nrtctl.net.hosts import allowed, names_loopback


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1:8321", "127.0.0.2", "[::1]", "[::1]:1", "LocalHost:2"],
)
def test_names_of_loopback(host: str) -> None:
    assert names_loopback(host)
    assert allowed([host], "127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        "", ":", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8321", "localhost.:80",
        "localhost:8321@evil", "evil.example:127.0.0.1", "::1", "[127.0.0.1", "[::1]]",
        "0.0.0.0:8321", "127.0.0.1:٣",
    ],
)  # fmt: skip
def test_other_names(host: str) -> None:
    assert not names_loopback(host)
    assert not allowed([host], "::1")
    assert allowed([host], "0.0.0.0")


def test_there_is_one_name() -> None:
    assert not allowed([], "localhost")
    assert not allowed(["localhost", "evil.example"], "localhost")
