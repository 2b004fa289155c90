"""The state directory of a local stack: whose it is, what runs in it, and its end.

    stack.json        says that the directory is a stack's, which layout it has, and its id
    up.lock           held while a stack is started or deleted
    kafka/, clickhouse/   data, lock and endpoint of each half
    registry/         the same of the schema registry, where a pipeline has needed one
    logs/             what both say
    .gitignore        keeps all of it out of git, where the directory was made by `up`

The id is the broker's cluster id as well. It belongs to one directory: a copy gets one of its own.

Called by `stack.local`, `stack.addresses`, `status` and `doctor`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nrtctl import __version__
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.local.process import LOOK_EVERY, Endpoint, write_atomically
from nrtctl.net.posix import fcntl

KAFKA, CLICKHOUSE, REGISTRY, LOGS = "kafka", "clickhouse", "registry", "logs"
PROCESSES = (KAFKA, CLICKHOUSE, REGISTRY)
MARKER, LOCK = "stack.json", "up.lock"
IGNORE, IGNORED = (
    ".gitignore",
    b"# Made by `nrtctl up`: data and passwords of the local stack.\n*\n",
)
LAYOUT = 1
LOOKS = 3
MOST_OF_A_MARKER = 64 * 1024


def locked(data_dir: Path) -> bool:
    """Whether a process holds the data directory of a half."""
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared: several commands that ask at once do not take each other for the process.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def live(state_dir: Path, name: str) -> Endpoint | None:
    """Where a half answers; None if no process holds its data directory, whatever a file says.

    One whose announcement is damaged or gone makes another one soon.
    """
    data_dir = state_dir / name
    if not locked(data_dir):
        return None
    for _ in range(LOOKS):
        if (endpoint := Endpoint.read(data_dir)) is not None:
            return endpoint
        time.sleep(LOOK_EVERY)
    return None


def claim(state_dir: Path) -> None:
    """Make the directory, or find that it is a stack's.

    Raises:
        ConfigError: it holds something else, or what a newer version made.
        NrtctlError: it cannot be written.
    """
    try:
        if state_dir.is_symlink() and not state_dir.exists():
            raise ConfigError(
                f"{state_dir} is a link to {os.readlink(state_dir)!r}, which does not exist",
                hint="create that directory, remove the link, or set local.state_dir to another",
            )
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Looked at first: another `up` at the same time marks the directory before it makes these.
        ours = [name for name in (*PROCESSES, LOGS) if (state_dir / name).exists()]
        if _damaged(state_dir):
            _write_marker(state_dir, {})
        elif _marker(state_dir) is None:
            if ours:
                raise ConfigError(
                    f"{state_dir} is not the state directory of a stack, but contains {ours[0]!r}",
                    hint="set local.state_dir to a directory of this stack's own",
                )
            if not any(state_dir.iterdir()):
                # Another `up` may do the same at this time.
                with contextlib.suppress(FileExistsError), (state_dir / IGNORE).open("xb") as file:
                    file.write(IGNORED)
            _write_marker(state_dir, {})
    except OSError as error:
        raise unwritable(state_dir, error.strerror or str(error)) from error


def claimed(state_dir: Path) -> bool:
    """Whether `up` has been here. Raises ConfigError: as `claim`."""
    return _marker(state_dir) is not None


def identify(state_dir: Path, say: Callable[[str], None]) -> str:
    """The id of the stack whose directory this is; given to it where it has none. Call it with
    `held`, after `claim`.

    A copy of a directory (another inode, with the id of the first) gets an id and passwords of its
    own, so that no client takes one stack for the other. A directory of the version before gets the
    cluster id that its broker has.

    Raises:
        ConfigError, NrtctlError: as `claim`.
    """
    try:
        marker, place = _marker(state_dir) or {}, state_dir.stat()
        known = str(marker.get("id") or "")
        if known and _same_place(marker, place, state_dir):
            return known
        if known:
            for name in PROCESSES:
                (state_dir / name / "password").unlink(missing_ok=True)
            say(
                f"{state_dir} is a copy of another stack's directory: it gets an id and passwords "
                "of its own"
            )
        own = secrets.token_hex(11) if known else _cluster_id(state_dir) or secrets.token_hex(11)
        of_this = {"inode": place.st_ino, "device": place.st_dev, "path": str(state_dir)}
        _write_marker(state_dir, {"id": own, **of_this})
    except OSError as error:
        raise unwritable(state_dir, error.strerror or str(error)) from error
    return own


def _same_place(marker: Mapping[str, Any], place: os.stat_result, state_dir: Path) -> bool:
    """A directory keeps its inode when it is moved; the number of its device may change when the
    machine starts again."""
    return marker.get("inode") == place.st_ino and (
        marker.get("device") == place.st_dev or marker.get("path") == str(state_dir)
    )


def _cluster_id(state_dir: Path) -> str | None:
    try:
        return str(json.loads((state_dir / KAFKA / "topics.json").read_text())["cluster_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_marker(state_dir: Path, more: Mapping[str, Any]) -> None:
    marker = {"layout": LAYOUT, "version": __version__, **more}
    own = state_dir / f"{MARKER}.{secrets.token_hex(4)}"
    write_atomically(own, json.dumps(marker).encode() + b"\n")
    own.replace(state_dir / MARKER)


def _marker(state_dir: Path) -> dict[str, Any] | None:
    """None: the directory has none.

    Raises ConfigError: the marker is none of ours, or of a newer layout.
    """
    path = state_dir / MARKER
    try:
        marker = _read(path)
        layout, version = int(marker["layout"]), str(marker["version"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        if _damaged(state_dir):
            raise ConfigError(
                f"{path} is damaged", hint="`nrtctl up` writes it again; no data is lost"
            ) from error
        raise ConfigError(
            f"{path} is not a file that `nrtctl up` writes",
            hint="set local.state_dir to another directory",
        ) from error
    if layout > LAYOUT:
        raise ConfigError(
            f"{state_dir} was created by nrtctl {version}, and this version ({__version__}) cannot "
            "read it",
            hint="upgrade nrtctl, or set local.state_dir to another directory",
        )
    return marker


def _read(path: Path) -> dict[str, Any]:
    """Raises OSError, ValueError, TypeError."""
    with path.open("rb") as file:
        return dict(json.loads(file.read(MOST_OF_A_MARKER)))


def _damaged(state_dir: Path) -> bool:
    """Whether the marker is there and says nothing, beside the data of a stack."""
    if not all((state_dir / name / "lock").exists() for name in (KAFKA, CLICKHOUSE)):
        return False
    try:
        return not {"layout", "version"} <= _read(state_dir / MARKER).keys()
    except (ValueError, TypeError):
        return True
    except OSError:
        return False


@contextlib.contextmanager
def held(state_dir: Path, say: Callable[[str], None]) -> Iterator[bool]:
    """Alone with the directory: nobody else starts or deletes its stack meanwhile.

    Args:
        say: told what is waited for, where that takes long.

    Gives False where somebody has deleted it while we waited: then `claim` it again.

    Raises:
        NrtctlError: it cannot be written.
    """
    path = state_dir / LOCK
    try:
        file = path.open("w")
    except OSError as error:
        raise unwritable(state_dir, error.strerror or str(error)) from error
    with file:
        _wait_for(file.fileno(), state_dir, say)
        try:
            still = os.path.samestat(os.fstat(file.fileno()), path.stat())
        except OSError:
            still = False
        yield still


def _wait_for(descriptor: int, state_dir: Path, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another `nrtctl up` or `down` in {state_dir}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


Identity = tuple[object, ...]


def identity(state_dir: Path) -> Identity | None:
    """What tells this directory from any other that comes to its place; None: it is no stack's.

    Raises ConfigError: as `claim`.
    """
    marker = _marker(state_dir)
    if marker is None:
        return None
    with contextlib.suppress(OSError):
        return (marker.get("id"), state_dir.stat().st_ino)
    return None


def delete(
    state_dir: Path, known: Identity | None, say: Callable[[str], None] = lambda _: None
) -> bool:
    """Delete what a stack has stored, and nothing else; whether there was something.

    Args:
        known: what `identity` said when the user was asked.
        say: told what is waited for, where that takes long.

    Raises:
        ConfigError: the directory is not a stack's.
        NrtctlError: a half still runs, another stack is there meanwhile, or something cannot be
            deleted.
    """
    if not state_dir.exists():
        return False
    if not claimed(state_dir):
        raise ConfigError(
            f"{state_dir} is not the state directory of a stack: nothing was deleted",
            hint="`nrtctl config show --origin` shows where local.state_dir comes from",
        )
    with held(state_dir, say) as still:
        if not still:
            return False
        if identity(state_dir) != known:
            raise NrtctlError(
                f"another stack has taken over {state_dir} in the meantime: nothing was deleted"
            )
        for name in PROCESSES:
            if locked(state_dir / name):
                raise NrtctlError(
                    f"{state_dir / name} is still in use", hint="run `nrtctl down` again"
                )
        try:
            directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
            try:
                for name in (*PROCESSES, LOGS):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.rmtree(name, dir_fd=directory)
                ignored = (state_dir / IGNORE).exists()
                ours = ignored and (state_dir / IGNORE).read_bytes() == IGNORED
                for name in (IGNORE, MARKER, LOCK) if ours else (MARKER, LOCK):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise NrtctlError(f"{error.filename or state_dir}: {error.strerror}") from error
        with contextlib.suppress(OSError):
            state_dir.rmdir()
    return True


def set_aside(state_dir: Path) -> list[Path]:
    """What the broker found among its topics, and knows nothing of."""
    return sorted((state_dir / KAFKA / "set-aside").glob("*"))


def size(path: Path) -> int:
    """Bytes of the files below `path`."""
    total = 0
    for root, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    return total


def unwritable(state_dir: Path, why: str) -> NrtctlError:
    return NrtctlError(
        f"the state directory {state_dir} cannot be written: {why}",
        hint="free some space or correct its permissions, or set local.state_dir to another",
    )
