"""`nrtctl init`: write a configuration to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.file_options import AS_FOUND, HowToRead
from nrtctl.cli.results import Document, Note, Result, Warn
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.producer.drafting import Drafted
    from nrtctl.producer.sample import Taken

TOPIC_MESSAGES = 5_000
"""The newest messages of a topic that a pipeline is drafted from."""


def init(
    session: Session,
    how: HowToRead,
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIRECTORY",
            help="Write the files into this directory. If nrtctl.toml exists already and has "
            "[pipelines.NAME] or no pipeline, this is the name of the pipeline that "
            "--from or --topic adds to it. --pipeline NAME does so too, and writes the file if "
            "there is none.",
        ),
    ] = Path(),
    sample: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Draft the pipeline from the messages in this file; - is stdin.",
        ),
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Draft the pipeline for this topic, from its newest messages unless --from names "
            "a file.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
) -> Result:
    """Write nrtctl.toml and metrics.json: a complete pipeline, or one drafted from messages."""
    from nrtctl.config.load import template
    from nrtctl.errors import ConfigError
    from nrtctl.pipeline.infer.text import written

    if sample is None and how != AS_FOUND:
        raise ConfigError(
            f"{how.as_arguments()[0]} says how a file is read and can only be used with --from",
            hint="as in `nrtctl init --from orders.csv`",
        )
    if name := _added(session, directory, sample, topic):
        return _add(session, name, sample, topic, how)
    names = ("nrtctl.toml", "metrics.json", "metrics.schema.json")
    there = [name for name in names if (directory / name).exists()]
    if there and not force:
        raise ConfigError(
            f"{directory / there[0]} exists already", hint="`nrtctl init --force` overwrites it"
        )
    texts = {name: template(name) for name in names}
    drafted = None
    if sample is not None or topic is not None:
        drafted = _drafted(session, sample, topic, how)
        texts["nrtctl.toml"] = written(drafted.draft, template().partition("\n[pipeline]")[0])
        texts["metrics.json"] = template("metrics.own.json")
    _write(directory, texts)
    data = {} if drafted is None else _as_dict(drafted)
    said = [] if drafted is None else _words(drafted)
    return Document(
        {"wrote": [str(directory / name) for name in names], **data},
        [f"wrote {directory / name}" for name in names],
        said=[*said, Note("next: edit nrtctl.toml, then run `nrtctl up`")],
    )


def _added(session: Session, given: Path, sample: str | None, topic: str | None) -> str | None:
    """The name of the pipeline that is to be added; None: files are written."""
    from nrtctl.errors import ConfigError

    if named := session.options.get("pipeline"):
        if len(named) > 1 or (sample is None and topic is None):
            raise ConfigError(
                "--pipeline takes one name here, and needs --from or --topic to draft that "
                "pipeline from",
                hint="as in `nrtctl init --pipeline orders --from orders.csv`",
            )
        return str(named[0])
    drafts = sample is not None or topic is not None
    is_name = given.name == str(given) and not given.exists()
    here = Path("nrtctl.toml")
    return str(given) if drafts and is_name and here.exists() and _has_names(here) else None


def _has_names(path: Path) -> bool:
    """Whether a file may have pipelines by name: it has no pipeline without one."""
    import tomllib

    from nrtctl.config.settings_files import read_text

    try:
        tree = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError:
        return False
    return not {"table", "fields"} & set(tree.get("pipeline", {}))


def _add(
    session: Session, name: str, sample: str | None, topic: str | None, how: HowToRead
) -> Result:
    """Add a pipeline to nrtctl.toml, after all that the file says; or begin one with it."""
    import tomllib

    from nrtctl.config.load import template
    from nrtctl.config.pipelines import SECTION, wrong_names
    from nrtctl.config.settings_files import FILE_NAME, read_text
    from nrtctl.errors import ConfigError
    from nrtctl.pipeline.infer.text import written

    path = session.options["config"] or Path(FILE_NAME)
    for _, why in wrong_names([name]):
        raise ConfigError(f"{name!r}: {why}")
    new = not session.options["config"] and not os.path.lexists(path)
    before = template().partition("\n[pipeline]")[0] if new else read_text(path)
    try:
        tree = tomllib.loads(before)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    if name in tree.get(SECTION, {}):
        raise ConfigError(f"{path} has a pipeline {name!r} already", hint="choose another name")
    if {"table", "fields"} & set(tree.get("pipeline", {})):
        raise ConfigError(
            f"{path} has one pipeline without a name, [pipeline], which would become the common "
            "defaults of all",
            hint="rename its tables first, as in [pipelines.events] and [pipelines.events.fields], "
            "and write its topic and table there",
        )
    drafted = _drafted(session, sample, topic, how, name)
    gap = "" if not before.strip() else "\n" if before.endswith("\n") else "\n\n"
    added = f"{gap}{written(drafted.draft, '', name).lstrip()}"
    if new:
        _write(path.parent, {path.name: before + added})
    else:
        append(path, added.encode())
    return Document(
        {"wrote": [str(path)], "pipeline": name, **_as_dict(drafted)},
        [f"wrote {path}" if new else f"added [pipelines.{name}] to {path}"],
        said=[
            *_words(drafted),
            Note(
                "next: review it, then run `nrtctl up` and `nrtctl produce --pipeline "
                f"{name} --input FILE`"
            ),
        ],
    )


def append(path: Path, data: bytes) -> None:
    """Write at the end of a file that is there. What it has stays, also where there is no room for
    more.

    Raises:
        NrtctlError: it cannot be written, and is as it was.
    """
    from nrtctl.errors import NrtctlError

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            before = os.fstat(descriptor)
            closed = before.st_mode & 0o7755  # what others can write is not read again
            if closed != before.st_mode & 0o7777:
                os.fchmod(descriptor, closed)
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            except BaseException:
                os.ftruncate(descriptor, before.st_size)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NrtctlError(f"{path}: cannot be written: {error.strerror}") from error


def _write(directory: Path, texts: dict[str, str]) -> None:
    from nrtctl.errors import NrtctlError

    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
            # Whatever the umask: what others can write is not read again.
            (directory / name).chmod((directory / name).stat().st_mode & ~0o022)
    except OSError as error:
        raise NrtctlError(f"{directory}: cannot be written: {error.strerror}") from error


def _drafted(
    session: Session,
    sample: str | None,
    topic: str | None,
    how: HowToRead,
    pipeline: str | None = None,
) -> Drafted:
    """A draft. Args: pipeline: the name that topic and table have, if nothing else is said."""
    from nrtctl.cli.reading_progress import ReadingProgress
    from nrtctl.errors import ConfigError, ConnectError, QueryError
    from nrtctl.pipeline.infer import names
    from nrtctl.pipeline.infer.draft import draft
    from nrtctl.producer.drafting import Drafted, tried
    from nrtctl.stack.trial_engine import engine

    if sample is not None:
        taken, source = _of_file(session, sample, how)
    else:
        taken, source = _of_topic(session, topic or ""), f"the topic {topic}"
    table = names.table_of(pipeline or topic or sample or "")
    trying = ReadingProgress(
        session.say, f"trying the draft on {counted(len(taken.messages), 'message')}"
    )
    try:
        first = draft(taken.sample, source=source, topic=topic or pipeline or table, table=table)
    except ValueError as error:
        raise ConfigError(f"no pipeline can be drafted from {source}: {error}") from error
    try:
        with trying.shown(), engine(None, None) as values:
            drafted = tried(first, taken, values)
    except (ConnectError, QueryError) as error:
        session.say.warn(f"the pipeline was not tried on the sample: {error.message}")
        drafted = Drafted(first, None)
    return drafted


def _of_file(session: Session, path: str, how: HowToRead) -> tuple[Taken, str]:
    from nrtctl.cli.samples import opened, sampled

    with opened(session, [path], how) as records:
        taken = sampled(session, records)
    name = "standard input" if path == "-" else Path(path).name
    if taken.sample.lacks_names:
        session.say.warn(
            f"{name}: the first line is taken for the names of the columns, but looks like a row: "
            f"{', '.join(list(taken.sample.root.keys)[:4])}; if it is one, name the columns with "
            "--columns NAMES, here and in `nrtctl produce`, so that it is not lost"
        )
    return taken, name


def _of_topic(session: Session, topic: str) -> Taken:
    from nrtctl.cli.samples import newest
    from nrtctl.producer.sample import take

    return take(newest(session, topic, TOPIC_MESSAGES))


def _words(drafted: Drafted) -> list[Note | Warn]:
    draft, trial = drafted.draft, drafted.trial
    said = (
        f"drafted {counted(len(draft.fields), 'field')} from {counted(draft.messages, 'message')}"
    )
    if trial is None:
        return [Note(said)]
    if not trial.refused:
        return [Note(f"{said}, which would all be stored")]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in trial.reasons.items())
    refused = f"{counted(trial.refused, 'message')} of the sample would be dead letters: {reasons}"
    return [Note(said), Warn(refused)]


def _as_dict(drafted: Drafted) -> dict[str, object]:
    draft, trial = drafted.draft, drafted.trial
    return {
        "topic": draft.topic,
        "table": draft.table,
        "fields": len(draft.fields),
        "messages": draft.messages,
        "stored": None if trial is None else trial.stored,
        "rejected": None if trial is None else dict(trial.reasons),
    }
