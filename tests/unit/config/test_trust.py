"""Files that were found, and that nobody named: whose may be read."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nrtctl.config import trust as under_test
from nrtctl.config.load import load_config
from nrtctl.config.shape import CODE_PROPERTIES
from nrtctl.config.trust import MAX_BYTES, Trust, check_state_dir, read_found
from nrtctl.errors import ConfigError
from nrtctl.stats.metrics_file import read_metrics

MINE = Trust(frozenset({os.geteuid()}))
SOMEBODY = Trust(frozenset({os.geteuid() + 4242}))
"""For whom everything that a test writes belongs to another user."""
NAME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nrtctl.toml"
    path.write_text("[batch]\nmax_rows = 7\n")
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    return path


def refused(path: Path, trust: Trust) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_found(path, trust)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


def test_ones_own_file_is_read(file: Path) -> None:
    assert read_found(file, MINE) == file.read_bytes()


def test_another_users_file_is_refused_with_its_owner_and_what_to_do(file: Path) -> None:
    error = refused(file, SOMEBODY)
    assert f"it belongs to the user {NAME}" in error.message
    assert f"nrtctl --config {file}" in (error.hint or "")
    assert "NRTCTL_CONFIG" in (error.hint or "")


@pytest.mark.parametrize(("mode", "good"), [(0o644, True), (0o600, True), (0o666, False)])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int, good: bool) -> None:
    file.chmod(mode)
    if good:
        assert read_found(file, MINE)
    else:
        assert "others can write it (mode 0666; `chmod go-w` prevents that)" in (
            refused(file, MINE).message
        )


@pytest.mark.parametrize(
    ("mode", "good"), [(0o755, True), (0o777, False), (0o1777, True), (0o700, True)]
)
def test_a_directory_that_others_can_write_needs_the_sticky_bit(
    file: Path, mode: int, good: bool
) -> None:
    file.parent.chmod(mode)
    if good:
        assert read_found(file, MINE)
    else:
        assert "others can write its directory" in refused(file, MINE).message


def test_a_link_is_followed_to_a_file_in_a_good_directory_only(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o755)
    link = other / "nrtctl.toml"
    link.symlink_to(file)
    assert read_found(link, MINE) == file.read_bytes()
    tmp_path.chmod(0o777)
    assert f"others can write its directory {tmp_path}" in refused(link, MINE).message


def test_a_link_by_somebody_else_is_refused(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    real = os.stat

    def stat(path: Any, **options: Any) -> object:
        found = real(path, **options)
        if options.get("follow_symlinks") is False:
            return SimpleNamespace(st_mode=found.st_mode, st_uid=os.geteuid() + 1)
        return found

    monkeypatch.setattr(os, "stat", stat)
    assert "it is a link that belongs to" in refused(link, MINE).message


def test_what_is_no_file_or_too_large_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "nrtctl.toml")
    assert "is not a file" in refused(tmp_path / "nrtctl.toml", MINE).message
    (tmp_path / "large").write_bytes(bytes(MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        read_found(tmp_path / "large", MINE)


def test_the_group_that_is_the_owners_own_may_write(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on systems that make a group for each user, with the umask 002."""
    file.chmod(0o664)
    me = pwd.getpwuid(os.geteuid())
    group = SimpleNamespace(gr_name=me.pw_name, gr_mem=[])
    users = [me]
    monkeypatch.setattr(grp, "getgrgid", lambda gid: group)
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    assert read_found(file, MINE)
    other = ("other", "x", me.pw_uid + 1, file.stat().st_gid, "", "/", "")
    users.append(pwd.struct_passwd(other))
    refused(file, MINE)
    users.pop()
    monkeypatch.setattr(under_test, "_has_acl", lambda file: True)
    refused(file, MINE)


def test_who_called_sudo_is_trusted_by_root_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert Trust.of_user({"SUDO_UID": "1000"}).owners == {0, 1000}
    assert Trust.of_user({"SUDO_UID": "x"}).owners == {0}
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    assert Trust.of_user({"SUDO_UID": "1000"}).owners == {0, 1001}


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that a test writes belongs to somebody else."""
    monkeypatch.setattr(Trust, "of_user", classmethod(lambda cls, environ: SOMEBODY))


def load(project: Path, /, **given: object) -> object:
    options = {"cwd": project.parent, "environ": {"HOME": str(project.parent)}} | given
    return load_config(**options).config.batch.max_rows  # type: ignore[arg-type]


def test_naming_a_file_is_consent(file: Path, foreign: None) -> None:
    with pytest.raises(ConfigError, match="belongs to"):
        load(file)
    assert load(file, file=file) == 7
    assert load(file, environ={"HOME": "/", "NRTCTL_CONFIG": str(file)}) == 7


def test_consent_reaches_what_its_owner_has_beside_it(file: Path, foreign: None) -> None:
    env = file.with_name(".env")
    env.write_text("NRTCTL_BATCH__MAX_ROWS=8\n")
    env.chmod(0o644)
    assert load(file, file=file) == 8
    env.chmod(0o666)
    with pytest.raises(ConfigError, match="others can write it"):
        load(file, file=file)


def test_a_file_of_variables_is_checked_where_it_speaks_to_us(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("OTHER=1\n")
    env.chmod(0o666)
    assert load(env) == 100_000
    env.write_text("nrtctl_batch__max_rows=1\n")
    with pytest.raises(ConfigError, match="others can write it"):
        load(env)


def test_the_users_file_is_checked(file: Path, tmp_path: Path) -> None:
    user = tmp_path / "xdg" / "nrtctl" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text("[batch]\nmax_rows = 9\n")
    environ = {"HOME": "/", "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    below = tmp_path / "below"
    below.mkdir()
    assert load(below / "x", environ=environ | {"NRTCTL_CONFIG": str(file)}) == 7
    file.unlink()
    user.chmod(0o644)
    assert load(below / "x", environ=environ) == 9
    user.chmod(0o666)
    with pytest.raises(ConfigError, match="others can write it"):
        load(below / "x", environ=environ)


def test_metrics_of_others_are_not_run(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"version": 1, "metrics": []}')
    path.chmod(0o644)
    assert read_metrics(path, MINE).wrong == ()
    assert "belongs to" in read_metrics(path, SOMEBODY).wrong[0]


def test_a_state_directory_of_others_in_a_place_of_all(tmp_path: Path) -> None:
    state = tmp_path / ".nrtctl"
    state.mkdir()
    tmp_path.chmod(0o755)
    check_state_dir(state, SOMEBODY)
    tmp_path.chmod(0o1777)
    check_state_dir(state, MINE)
    with pytest.raises(ConfigError, match="the state directory belongs to"):
        check_state_dir(state, SOMEBODY)


WAYS: dict[str, Callable[[str], dict[str, str]]] = {
    "file": lambda name: {"nrtctl.toml": f'[kafka.properties]\n"{name}" = "x"\n'},
    "bare keys": lambda name: {"nrtctl.toml": f'kafka.properties.{name} = "x"\n'},
    "profile": lambda name: {"nrtctl.toml": f'[profile.p.kafka.properties]\n"{name}" = "x"\n'},
    ".env": lambda name: {
        ".env": f"NRTCTL_KAFKA__PROPERTIES__{name.replace('.', '_').upper()}=x\n"
    },
    ".env, a table": lambda name: {".env": f'NRTCTL_KAFKA__PROPERTIES=\'{{"{name}": "x"}}\'\n'},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CODE_PROPERTIES)
def test_no_file_sets_what_loads_code(tmp_path: Path, name: str, way: str) -> None:
    project = tmp_path / "nrtctl.toml"
    for written, text in ({"nrtctl.toml": ""} | WAYS[way](name)).items():
        (tmp_path / written).write_text(text)
    variable = f"NRTCTL_KAFKA__PROPERTIES__{name.replace('.', '_').upper()}"
    for named in (None, project):
        with pytest.raises(ConfigError) as caught:
            load(project, file=named, profile="p" if way == "profile" else None)
        said = f"kafka.properties.{name}: {CODE_PROPERTIES[name]}, so no file may set it"
        assert said in caught.value.message
        assert variable in caught.value.message
    (tmp_path / ".env").unlink(missing_ok=True)
    project.write_text("")
    load(project, overrides=[f'kafka.properties."{name}"=x'])
    load(project, environ={"HOME": "/", variable: "x"})
