"""Several `up` claim one new state directory at the same time."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from nrtctl.errors import ConfigError
from nrtctl.stack.state_dir import KAFKA, MARKER, claim


def test_all_of_them_claim_it(tmp_path: Path) -> None:
    """Each goes on as `up` does: what it makes next shows that the directory is marked."""
    failed: list[BaseException] = []

    def one(directory: Path, begin: threading.Barrier) -> None:
        begin.wait()
        try:
            claim(directory)
            (directory / KAFKA).mkdir(exist_ok=True)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    for number in range(60):
        directory = tmp_path / str(number)
        begin = threading.Barrier(8)
        threads = [threading.Thread(target=one, args=(directory, begin)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert json.loads((directory / MARKER).read_text())["layout"] == 1
        assert {each.name for each in directory.iterdir()} == {MARKER, KAFKA}
    assert failed == []


def test_what_is_no_stacks_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / KAFKA).mkdir()
    with pytest.raises(ConfigError, match="is not the state directory of a stack"):
        claim(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [KAFKA]
