"""What a page may ask of one dead letter's fix, and what it is told. No server."""

from __future__ import annotations

from collections import Counter

import pytest

from nrtctl.cli.dashboard_fixes import (
    REPLAY_SECONDS,
    Patience,
    fate,
    fix_of,
    replay_words,
    selected,
)
from nrtctl.cli.dashboard_questions import beginning
from nrtctl.dead_letters.replay import Report
from nrtctl.errors import ConfigError, WaitTimeout
from nrtctl.view.dashboard.questions import MOST_BODY, MOST_FIX


def test_a_fix_is_the_value_another_text_or_sql_as_dlq_replay_has_them() -> None:
    assert fix_of({"how": "value", "body": "ignored"}) == ("value", "")
    assert fix_of({"how": "text", "body": "ä'"}) == ("base64Decode('w6Qn')", "edited")
    assert fix_of({"how": "text", "body": ""}) == ("base64Decode('')", "edited")
    assert fix_of({"how": "sql", "body": "upper(value)"}) == ("upper(value)", "upper(value)")
    for wrong in ({}, {"how": "sql", "body": " "}, {"how": "sql"}, {"how": "topic", "body": "x"}):
        with pytest.raises(ConfigError):
            fix_of(wrong)
    assert fix_of({"how": "text", "body": "ä" * (MOST_FIX // 2)})[1] == "edited"
    with pytest.raises(ConfigError, match="64 KiB") as caught:
        fix_of({"how": "text", "body": "ä" * (MOST_FIX // 2) + "x"})
    assert caught.value.hint == "`nrtctl dlq replay --edit` can"
    assert MOST_FIX < MOST_BODY


def test_one_letter_is_meant_by_its_place() -> None:
    here = selected({"place": "2/0/17"})
    assert (here.incarnation, here.partitions, here.offsets) == (2, (0,), (17, 18))
    assert (here.purged, selected({"place": "0/1"}, purged=True).purged) == (False, True)
    for wrong in ({}, {"place": ""}, {"place": "0"}, {"place": "0/1 OR 1"}):
        with pytest.raises(ConfigError):
            selected(wrong)


def test_the_command_of_a_letter_replays_no_other() -> None:
    """Not that of an earlier topic of the name at the same offset."""
    here = selected({"place": "2/0/17"})
    assert replay_words(here, "", several=False) == [
        "nrtctl", "dlq", "replay", "--partition", "0", "--offset", "17",
    ]  # fmt: skip
    assert replay_words(here, "orders", several=True) == [
        "nrtctl", "dlq", "replay", "--pipeline", "orders", "--incarnation", "2", "--partition", "0",
        "--offset", "17",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (Report(letters=1, stored=1), "stored"),
        (Report(letters=1, rejected=Counter({"not JSON": 1})), "rejected"),
        (Report(letters=1, undecided=1), "rejected"),
        (Report(letters=1, already=1), "already"),
        (Report(letters=1, later=1), "later"),
        (Report(beside=1), "beside"),
        (Report(), "gone"),
    ],
)
def test_what_becomes_of_a_letter_is_one_word(report: Report, told: str) -> None:
    assert fate(report) == told


def test_a_page_waits_no_longer_than_it_says() -> None:
    now, slept = [50.0], list[float]()
    patience = Patience(REPLAY_SECONDS, now=lambda: now[0], pause=slept.append)
    patience.waiting("ClickHouse is busy", REPLAY_SECONDS)
    patience.sleep(0.5)
    now[0] += REPLAY_SECONDS - 0.25
    with pytest.raises(WaitTimeout, match="30 s: ClickHouse is busy") as caught:
        patience.waiting("ClickHouse is busy", 0.5)
    assert "nothing is lost" in (caught.value.hint or "")
    with pytest.raises(WaitTimeout):
        patience.sleep(0.5)
    assert slept == [0.5]


@pytest.mark.parametrize(
    ("value", "shown", "cut", "text"),
    [
        (None, None, False, None),
        (b"", b"", False, ""),
        (b"a\r\n\x00", b"a\r\n\x00", False, "a\r\n\x00"),
        (b"\xff", b"\xff", False, None),
        (b"\xc3", b"\xc3", False, None),
        (b"x" * MOST_FIX, b"x" * MOST_FIX, False, "x" * MOST_FIX),
        (b"x" * (MOST_FIX + 1), b"x" * MOST_FIX, True, None),
        (b"x" * (MOST_FIX - 1) + b"\xc3\xa4", b"x" * (MOST_FIX - 1), True, None),
        (b"\xff" * (MOST_FIX + 1), b"\xff" * MOST_FIX, True, None),
    ],
)
def test_a_value_is_cut_between_characters_and_text_is_whole(
    value: bytes | None, shown: bytes | None, cut: bool, text: str | None
) -> None:
    assert beginning(value) == (shown, cut, text)
