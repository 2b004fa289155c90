"""Every module can be imported where what only Linux and macOS have is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nrtctl.errors import NrtctlError
from nrtctl.net import posix

IMPORT_ALL = """
import importlib, os, pkgutil, signal, sys
import nrtctl

def names():
    found = pkgutil.walk_packages(nrtctl.__path__, "nrtctl.")
    return [each.name for each in found if not each.name.endswith("__main__")]

for name in names():  # what others import on this system is not our matter
    importlib.import_module(name)
for name in [each for each in sys.modules if each.partition(".")[0] == "nrtctl"]:
    del sys.modules[name]
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None
for name in ("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH",
             "WNOHANG", "MFD_CLOEXEC", "chown", "fchown", "fdatasync", "fork", "getegid", "geteuid",
             "getgid", "getloadavg", "getuid", "killpg", "memfd_create", "mkfifo", "pread",
             "pwrite", "sched_getaffinity", "setsid", "statvfs", "statvfs_result",
             "uname", "wait4"):
    delattr(os, name)
for name in ("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGTSTP",
             "SIGUSR1", "SIGWINCH", "pthread_sigmask"):
    delattr(signal, name)
import nrtctl
for name in names():
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {error!r}")
"""


def test_every_module_can_be_imported_without_what_windows_has_not() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_what_is_missing_says_so_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    missing = posix.__getattr__("fcntl")
    with pytest.raises(NrtctlError, match=r"needs fcntl\.flock, which this system does not have"):
        missing.flock(0, 0)
    with pytest.raises(AttributeError):
        posix.__getattr__("winreg")
