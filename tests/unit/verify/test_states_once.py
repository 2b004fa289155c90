"""The topics of a pipeline share its table: `verify` compares its current states once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nrtctl.cli.common_options import SHARED
from nrtctl.cli.each_pipeline import of_each
from nrtctl.cli.session import Session
from nrtctl.cli.verify_command import verify
from nrtctl.store.latest import StateReport
from nrtctl.verify import run
from nrtctl.verify.report import Report

SEVERAL = """
[pipeline]
topics = ["a", "b", "c"]
table = "t"
fields = { id = "UInt32" }
[pipeline.latest.now]
key = "id"
version = "id"
"""


def found(*_: object, **given: Any) -> Report:
    return Report("a", "t", given["group"], 0, 0, 0, 0, 0, 0, [])


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize("wrong", [0, 3])
def test_current_states_are_compared_once_and_again_where_they_were_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repair: bool, wrong: int
) -> None:
    file = tmp_path / "nrtctl.toml"
    file.write_text(SEVERAL)
    differing, compared = wrong, 0

    def compare(_: object) -> list[StateReport]:
        nonlocal compared
        compared += 1
        return [StateReport("now", 5, wrong=differing)]

    def mend(*_: object) -> int:
        nonlocal differing
        mended, differing = differing, 0
        return mended

    for name, stand_in in {
        "nrtctl.kafka.log.KafkaLog": lambda *_, **__: None,
        "nrtctl.stack.addresses.Addresses.bootstrap_servers": "",
        "nrtctl.stack.current_topic.current_topic": lambda *_: None,
        "nrtctl.cli.session.Session.clickhouse": lambda _: None,
        "nrtctl.cli.verify_command.patient": lambda _: None,
        "nrtctl.store.target.target_of": lambda *_: None,
        "nrtctl.store.several_rows.rows_in": lambda *_: None,
        "nrtctl.store.filling.filling": lambda *_, **__: None,
        "nrtctl.replay.unfinished.is_under_way": lambda *_, **__: False,
        "nrtctl.verify.repair.Repair.plan": lambda *_: [],
        "nrtctl.verify.repair.Repair.execute": lambda *_: (0, 0),
        "nrtctl.store.latest.States.mend": mend,
        "nrtctl.store.latest.States.compare": compare,
    }.items():
        monkeypatch.setattr(name, stand_in)
    monkeypatch.setattr(run, "verify", found)
    monkeypatch.setattr(run, "lost", lambda *_: [])
    options: dict[str, Any] = {**dict.fromkeys(SHARED), "verbose": False, "set": [], "config": file}
    done: Any = of_each(Session(options), lambda each: verify(each, repair=repair, execute=repair))
    assert compared == (2 if repair and wrong else 1)
    reports = done.data["pipelines"].values()
    assert [each["latest"][0]["wrong"] for each in reports] == [0 if repair else wrong] * 3
    if repair:
        mended = [each["repair"]["latest"]["now"] for each in reports]
        assert mended == [wrong, 0, 0]
