"""The state directory of a local stack: whose it is, what runs in it, and its end.

    stack.json        says that the directory is a stack's, and which layout it has
    kafka/, clickhouse/   data, lock and endpoint of each half
    logs/             what both say

Called by `stack.local`, `stack.addresses`, `status` and `doctor`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from pathlib import Path

from nrtctl import __version__
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.local.process import Endpoint, write_atomically

KAFKA, CLICKHOUSE, LOGS = "kafka", "clickhouse", "logs"
MARKER = "stack.json"
LAYOUT = 1


def locked(data_dir: Path) -> bool:
    """Whether a process holds the data directory of a half."""
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def live(state_dir: Path, name: str) -> Endpoint | None:
    """Where a half answers; None if no process holds its data directory, whatever a file says."""
    endpoint = Endpoint.read(state_dir / name)
    return endpoint if endpoint is not None and locked(state_dir / name) else None


def claim(state_dir: Path) -> None:
    """Make the directory, or find that it is a stack's.

    Raises:
        ConfigError: it holds something else, or what a newer version made.
        NrtctlError: it cannot be written.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Looked at first: another `up` at the same time marks the directory before it makes these.
        ours = [name for name in (KAFKA, CLICKHOUSE, LOGS) if (state_dir / name).exists()]
        if not _marked(state_dir):
            if ours:
                raise ConfigError(
                    f"{state_dir} is not the state directory of a stack, and holds {ours[0]!r}",
                    hint="set local.state_dir to a directory of this stack's own",
                )
            marker = {"layout": LAYOUT, "version": __version__}
            own = state_dir / f"{MARKER}.{secrets.token_hex(4)}"
            write_atomically(own, json.dumps(marker).encode() + b"\n")
            own.replace(state_dir / MARKER)
    except OSError as error:
        raise unwritable(state_dir, error.strerror or str(error)) from error


def _marked(state_dir: Path) -> bool:
    """Raises ConfigError: the marker is none of ours, or of a newer layout."""
    path = state_dir / MARKER
    try:
        marker = json.loads(path.read_text())
        layout, version = int(marker["layout"]), str(marker["version"])
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not readable as what `nrtctl up` writes",
            hint="set local.state_dir to another directory",
        ) from error
    if layout > LAYOUT:
        raise ConfigError(
            f"{state_dir} was made by nrtctl {version}, which this one ({__version__}) cannot read",
            hint="upgrade nrtctl, or set local.state_dir to another directory",
        )
    return True


def delete(state_dir: Path) -> bool:
    """Delete what a stack has stored, and nothing else; whether there was something.

    Raises:
        ConfigError: the directory is not a stack's.
        NrtctlError: a half still runs, or something cannot be deleted.
    """
    if not state_dir.exists():
        return False
    if not _marked(state_dir):
        raise ConfigError(
            f"{state_dir} is not the state directory of a stack: nothing was deleted",
            hint="`nrtctl config show --origin` tells where local.state_dir comes from",
        )
    for name in (KAFKA, CLICKHOUSE):
        if locked(state_dir / name):
            raise NrtctlError(f"{state_dir / name} is still in use", hint="`nrtctl down`")
    try:
        for name in (KAFKA, CLICKHOUSE, LOGS):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(state_dir / name)
        for name in ("up.lock", MARKER):
            (state_dir / name).unlink(missing_ok=True)
    except OSError as error:
        raise NrtctlError(f"{error.filename or state_dir}: {error.strerror}") from error
    with contextlib.suppress(OSError):
        state_dir.rmdir()
    return True


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
        hint="free some space or mend its permissions, or set local.state_dir to another",
    )
