"""What the user names is read as far as such a file may go, whatever it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from nrtctl.clock import notices
from nrtctl.config import named_files
from nrtctl.config.load import load_config
from nrtctl.config.named_files import MOST_BYTES, named_text, read_named
from nrtctl.errors import ConfigError
from nrtctl.kafka.formats.files import read_value, wanted


def test_a_device_without_an_end_is_refused() -> None:
    device = Path("/dev/zero")
    with pytest.raises(ConfigError, match="/dev/zero: is larger than 16 MiB"):
        load_config(file=device, environ={})
    for reads in (read_value, wanted):
        with pytest.raises(ConfigError, match="is larger than 16 MiB"):
            reads("avro", device, None)
        with pytest.raises(ConfigError, match="is larger than 16 MiB"):
            reads("protobuf", device, "m")


def test_the_largest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_files, "MOST_BYTES", 100)
    file = tmp_path / "x"
    file.write_bytes(b"\xef\xbb\xbf" + b"a" * 97)
    assert named_text(file) == "a" * 97
    file.write_bytes(b"a" * 101)
    with pytest.raises(ConfigError, match="is larger than"):
        read_named(file)
    assert MOST_BYTES >= 2**20


def test_a_pipe_is_read_to_its_end_and_waiting_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "AFTER_SECONDS", 0.0)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said, told = list[str](), threading.Event()

    def listener(text: str) -> None:
        said.append(text)
        told.set()

    def write() -> None:
        with pipe.open("wb") as out:
            assert told.wait(60)
            out.write(b"[batch]\n")
            out.flush()
            out.write(b"max_rows = 7\n")

    notices.listen(listener)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert load_config(file=pipe, environ={}).config.batch.max_rows == 7
    finally:
        writer.join(60)
        notices.listen(None)
    assert said == [f"waiting for what {pipe} has to say"]
