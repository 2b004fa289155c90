"""`nrtctl dlq replay --edit`: the value of one dead letter in the user's editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nrtctl.errors import ConfigError, NrtctlError

if TYPE_CHECKING:
    from nrtctl.cli.session import Session
    from nrtctl.dead_letters.selection import Selection


def edited(session: Session, selection: Selection) -> tuple[Selection, str]:
    """Let the user edit the one letter of `selection`; that letter, and SQL for its new value.

    The text stays in its file, which is named, unless it was not changed.

    Raises:
        ConfigError: there is no editor.
        NrtctlError: not one letter but none or several fit; its value is no text; the editor
            failed; nothing was changed.
    """
    from nrtctl.dead_letters.letters import contents, incarnations_of, pages
    from nrtctl.dead_letters.selection import as_fix

    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not editor:
        raise ConfigError("--edit: no editor is set", hint="set EDITOR to one, as in EDITOR=vi")
    client, pipeline = session.clickhouse(), session.config.pipeline
    database = session.config.clickhouse.database
    topics = incarnations_of(client, pipeline, database, selection)
    selection = replace(selection, incarnation=topics[0] if topics else None)
    where = selection.where(pipeline)
    page = next(pages(client, pipeline, database, where, size=2), [])
    if len(page) != 1 or len(topics) != 1:
        found = "several match" if page else "none matches"
        raise NrtctlError(
            f"--edit takes exactly one dead letter, but {found}",
            hint="select one with --partition and --offset",
        )
    one = page[0]
    selection = replace(
        selection, partitions=(one.partition,), offsets=(one.offset, one.offset + 1)
    )
    value = contents(client, pipeline, database, selection.where(pipeline))[0].value or b""
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise NrtctlError(
            "--edit: the value is not UTF-8 text", hint="use --fix instead"
        ) from error
    handle, name = tempfile.mkstemp(prefix=f"nrtctl-{one.partition}-{one.offset}-", suffix=".json")
    path = Path(name)
    with os.fdopen(handle, "wb") as file:
        file.write(value)
    changed = _edit([*editor, name], path)
    if changed == value:
        path.unlink()
        raise NrtctlError("the value was not changed, so nothing was sent")
    session.say.note(f"the edited value is kept in {path}")
    return selection, as_fix(changed)


def _edit(command: list[str], path: Path) -> bytes:
    """What is in the file when the editor has ended; a newline that it added at the end is not."""
    before = path.read_bytes()
    try:
        done = subprocess.run(command, check=False)  # noqa: S603
    except OSError as error:
        path.unlink()
        raise ConfigError(f"--edit: {command[0]} cannot be started: {error.strerror}") from error
    if done.returncode:
        raise NrtctlError(
            f"the editor ended with exit code {done.returncode}, so nothing was sent; see {path}"
        )
    after = path.read_bytes()
    return after if before.endswith(b"\n") else after.removesuffix(b"\n")
