"""Whatever a command is started in: it works, or says what is wrong, with the right exit code."""

from __future__ import annotations

import errno
import json
import os
import pwd
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nrtctl.cli import streams
from nrtctl.cli.system_errors import explained, short_of
from nrtctl.config.load import load_config
from nrtctl.errors import ConfigError

NOBODY = "127.0.0.1:1"
"""Nothing answers there."""

HELP = ("--help",)
SHOW = ("config", "show")
QUERY = ("query", "SELECT 1")
CODES: dict[tuple[str, ...], int] = {SHOW: 0, QUERY: 3}


def run(
    *arguments: str,
    shell: str = "",
    environ: Mapping[str, str | None] = {},
    cwd: Path | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """`nrtctl …`, its streams redirected as a shell does. `environ`: None takes a variable away."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NRTCTL_")}
    changed = {**kept, "NRTCTL_CLICKHOUSE__URL": f"http://{NOBODY}", **environ}
    command = ["bash", "-c", f'"$@" {shell}', "-", sys.executable, "-m", "nrtctl", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env={name: value for name, value in changed.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        preexec_fn=before,
        timeout=100,
        check=False,
    )


def check(done: subprocess.CompletedProcess[bytes], code: int) -> str:
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert "unexpected" not in said
    assert "Traceback" not in said
    assert "ignored" not in said
    return said


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))


IN: dict[str, dict[str, Any]] = {
    "stdin closed": {"shell": "<&-"},
    "stderr closed": {"shell": "2>&-"},
    "stderr full": {"shell": "2>/dev/full"},
    "all closed but stdout": {"shell": "<&- 2>&-"},
    "no home": {"environ": {"HOME": None}},
    "a home that is not there": {"environ": {"HOME": "/nonexistent/home"}},
    "a relative home": {"environ": {"HOME": "here"}},
    "no terminal type": {"environ": {"TERM": None}},
    "a width that is none": {"environ": {"COLUMNS": "²", "LINES": "wide", "TERM": "dumb"}},
    "a width of nothing": {"environ": {"COLUMNS": "0"}},
    "ASCII only": {"environ": {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}},
    "no temporary directory": {"environ": {"TMPDIR": "/nonexistent/tmp"}},
    "few open files": {"before": few_files},
}


FAILING = {"stderr closed", "stderr full", "ASCII only", "few open files"}
"""Where a command that fails has more to do than another one."""


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        pytest.param(
            arguments, where, id=f"{' '.join(arguments)}-{where}",
            marks=() if arguments == SHOW or where in FAILING else pytest.mark.long,
        )
        for arguments in CODES
        for where in IN
    ],
)  # fmt: skip
def test_where_a_command_works_as_ever(arguments: tuple[str, ...], where: str) -> None:
    said = check(done := run(*arguments, **IN[where]), CODES[arguments])
    assert bool(done.stdout) == (CODES[arguments] == 0)
    if CODES[arguments] and "2>" not in IN[where].get("shell", ""):
        assert "127.0.0.1:1" in said


@pytest.mark.parametrize(
    "arguments",
    [pytest.param(HELP, id="help"), pytest.param(SHOW, id="show", marks=pytest.mark.long)],
)
@pytest.mark.parametrize(
    ("shell", "code", "why"),
    [
        (">/dev/full", 1, "No space left on device"),
        (">&-", 1, "it is closed"),
        (">&- 2>&-", 1, ""),
        ("| true; exit ${PIPESTATUS[0]}", 0, ""),
        ("2>&1 | true; exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
def test_output_that_nobody_gets(
    arguments: tuple[str, ...], shell: str, code: int, why: str
) -> None:
    said = check(run(*arguments, shell=shell), code)
    assert why in said
    assert ("stdout" in said) == bool(why)


@pytest.mark.parametrize(
    "shell",
    [
        "| true; exit ${PIPESTATUS[0]}",
        pytest.param(">/dev/full", marks=pytest.mark.long),
        pytest.param("2>&-", marks=pytest.mark.long),
        ">&- 2>&-",
    ],
)
def test_a_failure_stays_one_whoever_reads(shell: str) -> None:
    check(run(*QUERY, shell=shell), 3)
    check(run("config", "nothing", shell=shell), 2)


def test_the_statement_of_a_stdin_that_is_closed() -> None:
    assert "stdin cannot be read" in check(run("query", "-", shell="<&-"), 2)


def test_json_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    (tmp_path / "nrtctl.toml").write_text('[pipeline.rejects]\n"zu groß" = "user_id = 1"\n')
    done = run("config", "show", "-o", "json", cwd=tmp_path, **IN["ASCII only"])
    assert "zu groß" in json.dumps(json.loads(done.stdout), ensure_ascii=False)
    table = run("config", "show", cwd=tmp_path, **IN["ASCII only"])
    assert rb"zu gro\xdf" in table.stdout


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    said = check(run(*SHOW, cwd=gone, before=gone.rmdir), 2)
    assert "the working directory no longer exists" in said
    gone.mkdir()
    check(run(*HELP, cwd=gone, before=gone.rmdir), 0)


def test_a_user_whom_the_system_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(ConfigError) as caught:
        load_config(environ={}, cwd=tmp_path)
    assert "no home directory" in caught.value.message
    assert "local.state_dir" in str(caught.value.hint)
    (tmp_path / "nrtctl.toml").write_text("")
    assert load_config(environ={}, cwd=tmp_path).state_dir == tmp_path / ".nrtctl"


def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", Path("/proc/none")):
        environ = {"HOME": str(home), "XDG_STATE_HOME": None, "XDG_CONFIG_HOME": None}
        said = check(run("up", cwd=tmp_path, environ=environ), 1)
        assert "cannot be written" in said
        assert "local.state_dir" in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "/a/b: the disk is full"),
        (OSError(errno.EROFS, "Read-only file system", "/a"), "/a: the file system is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", b"/a"), "/a: permission denied"),
        (OSError(errno.EMFILE, "Too many open files"), "this process may have"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of resources: cannot allocate"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/a"), "/a: no such file"),
        (OSError("odd"), "odd"),
        (OSError(), "OSError"),
    ],
)
def test_what_the_system_says_in_words(error: OSError, words: str) -> None:
    assert words in explained(error).message


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "more memory"),
        (ImportError("x.so.1: failed to map segment from shared object"), "more memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
    ],
)
def test_a_limit_that_is_no_error_of_the_system_in_words(error: Exception, words: str) -> None:
    """They were `unexpected`, with advice to look at a traceback."""
    found = short_of(error)
    assert found is not None
    assert words in found.message
    assert "ulimit -v" in (found.hint or "")
    assert short_of(RuntimeError("something else")) is None


def test_a_stream_takes_everything_and_keeps_the_first_error(tmp_path: Path) -> None:
    out, into = os.pipe()
    os.set_blocking(into, False)
    raw = streams._Raw(into)
    assert raw.write(b"x" * 10) == 10
    os.close(out)
    assert [raw.write(b"abc"), raw.write(memoryview(b"de"))] == [3, 2]
    assert isinstance(raw.error, BrokenPipeError)
    os.close(into)


def test_a_statement_that_is_typed_is_asked_for() -> None:
    """Else it would wait for it without a word."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "nrtctl", "query", "-"],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        assert process.stderr is not None
        assert b"from the terminal; press Ctrl-D to finish" in process.stderr.readline()
        os.write(ours, b" \n\x04")
        assert process.wait(100) == 2
    os.close(ours)


def test_a_terminal_that_was_closed_is_no_failure_of_what_it_showed(tmp_path: Path) -> None:
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "nrtctl", *SHOW],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=subprocess.PIPE,
    )
    os.close(slave)
    os.close(master)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert b"error" not in said
