"""`--fail-if`: what is a condition, what it means, and what is said of one that is none."""

from __future__ import annotations

import pytest

from nrtctl.errors import ConfigError
from nrtctl.stats.fail_if import names, parse
from tests.unit.stats.example import SNAPSHOT

SHOT = SNAPSHOT.as_dict()


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("lag_records > 11", [12]),
        ("lag_records >= 12", [12]),
        ("lag_records>12", []),
        ("lag_records < 12", []),
        ("lag_records <= 12", [12]),
        ("lag_records == 12", [12]),
        ("lag_records != 12", []),
        ("lag_seconds > 2s", [2.5]),
        ("lag_seconds > 2500ms", []),
        ("freshness_seconds < 1m", [0.25]),
        ("end_to_end_latency_seconds.p99 > 1s", [1.5]),
        ("lag.lag_records > 5", [10]),
        ("lag.lag_seconds >= 0.5", [2.5, 0.5]),
        ('dead_letters_by_reason."field missing" > 19', [20]),
        ('dead_letters_by_reason."never seen" >= 0', []),
        ("metrics.error_rate > 0.2", [0.3]),
        ("parts.most_in_a_partition > 1e1", []),
        ("by.slices.rows > 5", [6000]),
        ("drained_in_seconds > 0", []),
        ("verdict.state != ok", []),
        ("verdict.state == ok", ["ok"]),
        ("consumers.state == 'stable'", ["stable"]),
    ],
)
def test_what_fulfils_it(text: str, met: list[object]) -> None:
    assert parse(text, ["error_rate"]).met_by(SHOT) == met


def test_a_number_that_is_not_known() -> None:
    assert not parse("drained_in_seconds > 0").known(SHOT)
    assert parse("lag_seconds > 0").known(SHOT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a condition"),
        ("lag_seconds", "is not a condition"),
        ("lag_seconds > ", "is not a condition"),
        ("lag_seconds ~ 3", "is not a condition"),
        ("lag_seconds > 3; DROP", "not a duration"),
        ("lag_seconds > 3 parsecs", "not a duration"),
        ("lag_records > 3s", "'3s' is not a number"),
        ("lag_records > nan", "is not a number"),
        ("lag_records > inf", "is not a number"),
        ("verdict.state > ok", "is text"),
        ("__class__.__name__ == x", "there is no"),
        ("lag_seconds.p99 > 3", "there is no"),
        ("lag > 3", "there is no"),
        ("metrics.other > 3", "there is no"),
    ],
)
def test_what_is_no_condition(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(text, ["error_rate"])


def test_an_unknown_name_is_answered_with_the_list() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("disk > 3", ["error_rate"])
    for name in ("lag_seconds", "end_to_end_latency_seconds.p99", "metrics.error_rate"):
        assert name in str(caught.value.hint)


def test_a_name_that_is_nearly_one_is_answered_with_what_is_near() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("lag_secnds > 3", ["error_rate"])
    hint = str(caught.value.hint)
    assert hint.startswith("did you mean one of lag_seconds, ")
    assert "freshness" not in hint
    with pytest.raises(ConfigError) as caught:
        parse("freshness > 3", ["error_rate"])
    assert str(caught.value.hint).startswith("did you mean freshness_seconds?")


def test_every_name_that_is_listed_is_one() -> None:
    for name in names(["error_rate"]):
        text = name.replace("*", '"a reason"')
        value = {"verdict.state": "ok", "errors.source": "kafka", "errors.gone": "true"}.get(
            name, "ok" if name.endswith(".level") else "1"
        )
        assert parse(f"{text} == {value}", ["error_rate"]).compare == "=="


def test_a_state_that_there_never_is_is_refused() -> None:
    """Such a condition would hold at no look, or at each."""
    with pytest.raises(ConfigError, match=r"state is never 'stoped'") as caught:
        parse("verdict.state == stoped")
    assert "stopped" in str(caught.value.hint)
    gone = SHOT | {"errors": [{"source": "kafka", "message": "", "hint": None, "gone": True}]}
    assert parse("errors.gone == true").met_by(gone) == ["true"]
    assert parse("errors.gone == false").met_by(gone) == []
