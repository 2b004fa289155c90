"""Whether a file that was found, and that nobody named, may be read. Called by `settings_files`.

Such a file decides where passwords are sent, so it must belong to the user or to root, and nobody
else may be able to write it or to put another one in its place: the rule of git's safe.directory.
What is checked is what was opened. A file that is named (`--config`, NRTCTL_CONFIG) is not checked.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nrtctl.errors import ConfigError
from nrtctl.net.posix import grp, pwd

MAX_BYTES = 4 * 2**20
_DIRECTORY = (
    getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
)


@dataclass(frozen=True, slots=True)
class Trust:
    """`owners`: the user ids whose files are read without being named. `named`: the user has named
    a file beside them, so its owner is one."""

    owners: frozenset[int]
    named: bool = False

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Trust:
        """The user and root; under sudo also who called it, as git does."""
        caller = environ.get("SUDO_UID", "")
        by_sudo = {int(caller)} if os.geteuid() == 0 and caller.isdecimal() else set()
        return cls(frozenset({0, os.geteuid(), *by_sudo}))

    def beside(self, named: Path) -> Trust:
        """For what lies beside a file that the user named: its owner is trusted as well."""
        try:
            owner = named.stat().st_uid
        except OSError:
            return self
        return Trust(self.owners | {owner}, named=True)


def read_found(
    path: Path, trust: Trust, *, harmless: Callable[[bytes], bool] = lambda data: False
) -> bytes:
    """The bytes of a file that was found.

    Args:
        harmless: whether bytes may be read whoever wrote them.

    Raises:
        ConfigError: it, or the directory it is in, is somebody else's or can be written by others.
        OSError: it cannot be opened.
    """
    directory = os.open(path.parent, _DIRECTORY)
    try:
        holder, mount = os.fstat(directory), os.fstatvfs(directory)
        link = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
        file = os.open(
            path.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=directory
        )
    finally:
        os.close(directory)
    with os.fdopen(file, "rb") as opened:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(path)
            raise ConfigError(f"{path}: is not a file", hint="remove it")
        doubt = _owner_doubt("it", found, trust)
        doubt = doubt or _directory_doubt(path.parent, holder, mount, trust)
        if stat.S_ISLNK(link.st_mode):
            at = path.resolve().parent
            doubt = doubt or _owner_doubt("it is a link that", link, trust)
            doubt = doubt or _directory_doubt(at, at.stat(), os.statvfs(at), trust)
        if not doubt and _others_write(found, os.fstatvfs(file), trust, acl=_has_acl(file)):
            mode = stat.S_IMODE(found.st_mode)
            doubt = f"others can write it (mode {mode:04o}; `chmod go-w` prevents that)"
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES // 2**20} MiB")
    if doubt and not harmless(data):
        raise ConfigError(
            f"{path}: {doubt}. It was found without being named, and could send your "
            "passwords elsewhere: so it must belong to you or to root, and nobody else may "
            "be able to write to it or its directory",
            hint=_hint(path, trust),
        )
    return data


def check_state_dir(state_dir: Path, trust: Trust) -> None:
    """Where everybody can make one, a state directory must be of a trusted owner.

    Raises:
        ConfigError: it is somebody else's.
    """
    try:
        beside, found = state_dir.parent.stat(), os.lstat(state_dir)
    except OSError:
        return
    if beside.st_mode & stat.S_IWOTH and found.st_uid not in trust.owners:
        raise ConfigError(
            f"{state_dir}: the state directory belongs to {_name(found.st_uid)}",
            hint="set local.state_dir to a directory of your own",
        )


def _owner_doubt(what: str, found: os.stat_result, trust: Trust) -> str:
    return "" if found.st_uid in trust.owners else f"{what} belongs to {_name(found.st_uid)}"


def _directory_doubt(
    directory: Path, found: os.stat_result, mount: os.statvfs_result, trust: Trust
) -> str:
    """The sticky bit keeps those who can write a directory from replacing what is not theirs."""
    if found.st_uid not in trust.owners:
        return f"its directory {directory} belongs to {_name(found.st_uid)}"
    if not found.st_mode & stat.S_ISVTX and _others_write(found, mount, trust, acl=False):
        mode = stat.S_IMODE(found.st_mode)
        return f"others can write its directory {directory} (mode {mode:04o})"
    return ""


def _others_write(found: os.stat_result, mount: os.statvfs_result, trust: Trust, acl: bool) -> bool:
    if mount.f_flag & os.ST_RDONLY:
        return False
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and (acl or not _private(found, trust))


def _private(found: os.stat_result, trust: Trust) -> bool:
    """Whether the group is only the owner's own, as most Linux systems make one for each user."""
    try:
        group = grp.getgrgid(found.st_gid)
        members = {pwd.getpwnam(name).pw_uid for name in group.gr_mem}
        own = found.st_gid == 0 or pwd.getpwuid(found.st_uid).pw_name == group.gr_name
    except KeyError:
        return False
    members |= {each.pw_uid for each in pwd.getpwall() if each.pw_gid == found.st_gid}
    return own and members <= trust.owners


def _has_acl(file: int) -> bool:
    """Whether there are rights beside those of the mode, of which the group's bits tell nothing."""
    try:
        return bool(os.getxattr(file, "system.posix_acl_access"))
    except (AttributeError, OSError):
        return False


def _name(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user with the id {uid}"


def _hint(path: Path, trust: Trust) -> str:
    quoted = shlex.quote(str(path))
    if trust.named or path.name != "nrtctl.toml":
        return f"if you trust it, make it yours: `sudo chown $USER {quoted}`; otherwise remove it"
    return (
        f"if you trust it, name it: `nrtctl --config {quoted} …`, or set NRTCTL_CONFIG to it; "
        "`nrtctl init` in a directory of yours creates a file of your own"
    )
