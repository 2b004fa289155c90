"""The command that does what was shown has no secret in it, however it was given."""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from nrtctl.cli.app import COMMANDS
from nrtctl.cli.command_line import again, command_line, words_of
from nrtctl.cli.consume_command import Limits
from nrtctl.cli.dlq_command import Filters
from nrtctl.cli.lazy_group import Loaded
from nrtctl.config.describe import MASK, without_secret
from nrtctl.consumer.run import Options

SECRETS = [
    "kafka.sasl_password=planted", "clickhouse.password = planted",
    "kafka.sasl_oauth_client_secret=planted", "kafka.ssl_key_password=planted",
    "kafka.properties.ssl.key.password=planted", 'kafka.properties."ssl.key.pem"=planted',
    "kafka.properties.sasl.jaas.config=planted", "kafka.properties.sasl.oauthbearer.config=planted",
    'kafka.properties={ "sasl.password" = "planted" }', 'kafka={ sasl_password = "planted" }',
    "clickhouse.settings.s3_secret_access_key_password=planted",
    'clickhouse.settings={ "password" = "planted" }', "clickhouse.pasword=planted",
    '"unbalanced=planted',
]  # fmt: skip
OPEN = [
    "pipeline.topic=events", "batch.max_rows=10", "kafka.properties.linger.ms=5",
    "clickhouse.settings.max_threads=2", 'pipeline.fields={ a = "String" }', "--to-earliest",
]  # fmt: skip


@pytest.mark.parametrize("setting", SECRETS)
def test_a_secret_is_masked_in_every_command(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = SimpleNamespace(
        options={"config": None, "profile": "p", "set": ["pipeline.topic=t", setting]}
    )
    key = setting.partition("=")[0]
    for words in (["verify", "--repair"], ["replay", "offsets", "--to-earliest"]):
        said = shlex.split(command_line(session, words))
        assert said == [
            "nrtctl", *words, "--profile", "p", "--set", "pipeline.topic=t", "--set",
            f"{key}={MASK}",
        ]  # fmt: skip
    for given in (["--set", setting], [f"--set={setting}"]):
        monkeypatch.setattr(sys, "argv", ["nrtctl", "dlq", "purge", *given])
        assert "planted" not in again()
        assert again().endswith(" --execute")


@pytest.mark.parametrize("setting", OPEN)
def test_what_is_no_secret_is_left(setting: str) -> None:
    assert without_secret(setting) == setting


def test_only_settings_are_read_as_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["dlq", "replay", "--fix", "concat(value, 'a=b')", "--set", "batch.max_rows=1"]
    monkeypatch.setattr(sys, "argv", ["nrtctl", *words])
    assert shlex.split(again()) == ["nrtctl", *words, "--execute"]


def test_a_time_that_moves_is_fixed_in_what_carries_a_dry_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else it would erase what came, or became older, since it was shown."""
    for given in (["--until", "2h", "--since=1d"], ["--since=1d", "--until", "2h"]):
        monkeypatch.setattr(sys, "argv", ["nrtctl", "dlq", "purge", *given, "--text", "2h"])
        filters = Filters(since="1d", until="2h", text="2h")
        told = shlex.split(filters.again(filters.selection()))
        monkeypatch.setattr(sys, "argv", told)
        once_more = Filters(since=_given(told, "--since"), until=_given(told, "--until"))
        selection = once_more.selection()
        assert shlex.split(once_more.again(selection))[:-1] == told
        assert _given(told, "--text") == "2h"
        assert "1d" not in " ".join(told)
        since, until = selection.since, selection.until
        assert since is not None
        assert until is not None
        assert abs(until - since - 22 * 3_600_000) < 60_000


def _given(words: list[str], option: str) -> str:
    (at,) = (at for at, word in enumerate(words) if word.partition("=")[0] == option)
    return words[at].partition("=")[2] or words[at + 1]


def test_the_options_of_a_run_are_all_passed_on_to_workers_and_to_the_consumer() -> None:
    names = {each.name for each in fields(Limits)}
    assert names < {each.name for each in fields(Options)}
    assert words_of(Limits()) == []
    given: dict[str, Any] = {
        each.name: True if each.default is False else 7 for each in fields(Limits)
    }
    words = words_of(Limits(**given))
    assert words == ["--count", "7", "--until-end", "--skip-lost", "--skip-damaged"]
    (consume,) = (made for name, made in Loaded(COMMANDS).items() if name == "consume")
    taken = {name for option in consume.params for name in option.opts}
    assert set(words) - {"7"} <= taken
