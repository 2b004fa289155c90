"""`nrtctl load`: from a file of one's own to rows, by the commands that do each step."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.file_options import AS_FOUND, HowToRead
from nrtctl.cli.results import Block, Document, Note, Raw, Result, Warn
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.cli.diagnostics import Diagnostics

SHOWN_ROWS = 5
FIRST = 1000
"""Messages of which one has to fit a pipeline that is there already."""

FEW = 100
"""Messages of a file that may all be dead letters: fewer are soon replayed or purged."""


def load(
    session: Session,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Load these files, the files in these directories, or the files that match "
            "these patterns. A pipeline is drafted from the first file.",
        ),
    ],
    how: HowToRead = AS_FOUND,
) -> Result:
    """Store files of your own in ClickHouse, and show the commands that do it.

    Without a configuration in this directory or its parents, one is written first, drafted from the
    first file. Then the stack is started, the files are sent to Kafka, and what is in the topic is
    stored. Loading a file again sends its messages again.
    """
    from nrtctl.cli.consume_command import Limits, consume
    from nrtctl.cli.init_command import init
    from nrtctl.cli.produce_command import produce
    from nrtctl.cli.up_command import up
    from nrtctl.errors import ConfigError

    if "-" in files:
        raise ConfigError(
            "`nrtctl load` reads its first file twice, which standard input cannot be",
            hint="use `nrtctl init --from FILE`, `nrtctl up` and `nrtctl produce --input -`",
        )
    began = time.monotonic()
    steps = Steps(session.say)
    wrote = []
    if not _is_configured(session):
        drafting = Session(session.options)
        made = steps.run(
            ["init", "--from", files[0], *how.as_arguments()],
            lambda: init(drafting, how, sample=files[0]),
        )
        wrote = made["wrote"]
    config = session.config
    if not wrote and (path := session.loaded.project_file) is not None:
        session.say.note(f"the pipeline is that of {os.path.relpath(path)}")
    if not wrote:
        _refuse_another_shape(session, files, how)
    ready = steps.run(["up"], lambda: up(session))
    sent = steps.run(
        ["produce", *files, *how.as_arguments()], lambda: produce(session, files, how=how)
    )
    if sent["ended"] == "stopped":
        raise KeyboardInterrupt
    stored = steps.run(["consume", "--until-end"], lambda: consume(session, Limits(until_end=True)))
    if stored["ended"] == "stopped":
        raise KeyboardInterrupt
    data = {
        "wrote": wrote,
        "kafka": ready["kafka"],
        "clickhouse": ready["clickhouse"],
        "sent": sent["acknowledged"],
        "stored": stored["records"],
        "dead_letters": stored["dead_letters"],
        "table": f"{config.clickhouse.database}.{config.pipeline.table}",
        "seconds": round(time.monotonic() - began, 3),
    }
    letters = data["dead_letters"]
    why = Note("`nrtctl dlq list` shows what is wrong with the dead letters")
    return Document(data, _rows(session, steps, data), said=[why] if letters else [])


def _is_configured(session: Session) -> bool:
    """Whether there is a pipeline already; --config names one."""
    from nrtctl.config.settings_files import found_upward

    return session.options["config"] is not None or found_upward(Path.cwd()) is not None


def _refuse_another_shape(session: Session, files: list[str], how: HowToRead) -> None:
    """Raises CheckFailed: the pipeline that is there would store none of the first messages."""
    from nrtctl.cli.try_command import put_before
    from nrtctl.errors import CheckFailed

    found, _ = put_before(session, files, how, FIRST)
    trial = found.trial
    if trial.messages < FEW or trial.refused < trial.messages:
        return
    example = trial.examples[0]
    why = "; ".join(map(str, example.faults)) or example.error
    raise CheckFailed(
        f"the pipeline would store none of the first {counted(trial.messages, 'message')}, so "
        f"nothing was sent: {example.reason}" + (f": {why}" if why else ""),
        hint=f"`nrtctl try {shlex.quote(files[0])}` shows what does not fit; in a directory "
        "without nrtctl.toml, `nrtctl load` writes a pipeline for the file",
    )


class Steps:
    """Each is announced as the command that does it, and says what it did."""

    def __init__(self, say: Diagnostics) -> None:
        self._say = say
        self._begun = 0

    def begin(self, command: str) -> None:
        self._begun += 1
        self._say.note(f"{self._begun}. {command}")

    def run(self, command: Sequence[str], step: Callable[[], Result | None]) -> Mapping[str, Any]:
        """The data of its result. Raises its failure."""
        self.begin(shlex.join(["nrtctl", *command]))
        result = step()
        if not isinstance(result, Document):
            raise TypeError(f"{command[0]} hands back no document")
        for text in _words(result, command[0]):
            self._say.note(text)
        for each in result.said:
            if isinstance(each, Warn):
                self._say.warn(each.text)
        if result.failure is not None:
            raise result.failure
        return result.data


def _words(result: Document, command: str) -> Iterator[str]:
    """What people are told of a step; `init` and `up` themselves say more than is of use here."""
    match command:
        case "init":
            yield from (each.text for each in result.said[:1])
            yield f"wrote {result.data['wrote'][0]}, which you can edit"
        case "up":
            yield f"Kafka is at {result.data['kafka']}, ClickHouse at {result.data['clickhouse']}"
        case _:
            yield from (block for block in result.shown or () if isinstance(block, str))


def _rows(session: Session, steps: Steps, data: Mapping[str, Any]) -> Iterator[Block]:
    """The first of the table."""
    from nrtctl.cli.query_command import read

    if data["stored"] == data["dead_letters"]:
        return
    sql = f"SELECT * EXCEPT('^_') FROM {session.config.pipeline.table} LIMIT {SHOWN_ROWS}"
    steps.begin(f'nrtctl query "{sql}"')
    found = read(session, sql)
    if not isinstance(found, Raw):
        yield from found
