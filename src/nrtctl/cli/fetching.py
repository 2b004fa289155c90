"""`nrtctl produce --input https://…`: the answers of an address, once or again and again."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.file_options import HowToRead
from nrtctl.cli.option_values import positive
from nrtctl.cli.results import Document, Result, Warn
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.cli.session import Session
    from nrtctl.errors import NrtctlError
    from nrtctl.pipeline.fields import Path as Keys
    from nrtctl.producer.fetching.answers import Answer
    from nrtctl.producer.fetching.cursor import Kept
    from nrtctl.producer.fetching.records import Highest
    from nrtctl.producer.run import Produced
    from nrtctl.producer.sources import Source

TRIES = 5
"""Of a fetch that is not repeated."""

AGAIN_SECONDS = 3.0
"""Until Kafka is tried again that was there before."""

MOST_WITH_RECORDS = 64 * 2**20
"""Bytes of an answer whose records stand somewhere in it: it is parsed as a whole."""


@dataclass(frozen=True)
class Fetching:
    """How an address is asked."""

    every: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Fetch the URL again this often and send what is new, until Ctrl-C; "
            "otherwise fetch it once.",
        ),
    ] = None
    records: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Send the elements of the array at this path of the response, as in data.items.",
        ),
    ] = None
    cursor: Annotated[
        str | None,
        typer.Option(
            metavar="PARAMETER=PATH",
            help="Ask for records after the highest value so far of this path, sent as this "
            "parameter of the query, as in since=updated_at.",
        ),
    ] = None
    max_answer: Annotated[
        str, typer.Option(metavar="SIZE", help="Refuse a response that is larger than this.")
    ] = "1GiB"
    allow_http: Annotated[
        bool,
        typer.Option(
            "--allow-http", help="Allow a URL without TLS (http://) that is not on this machine."
        ),
    ] = False


FETCHING = Fetching()

Send = Callable[["Source"], "tuple[Produced, NrtctlError | None]"]


@dataclass
class _Total:
    """Of all answers."""

    answers: int = 0
    sent: int = 0
    acknowledged: int = 0
    failed: int = 0
    unsendable: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    def add(self, produced: Produced, *, again: bool) -> None:
        """Args: again: what was not delivered is sent once more, and has not failed."""
        self.answers += 1
        self.sent += produced.sent
        self.acknowledged += produced.acknowledged
        self.seconds += produced.seconds
        if again:
            return
        self.failed += produced.failed
        self.unsendable += produced.unsendable
        self.examples = [*self.examples, *produced.examples][:10]


def fetched(
    session: Session,
    url: str,
    how: HowToRead,
    fetching: Fetching,
    topic: str,
    *,
    key: str | None,
    encoded: Callable[[Source], Source],
    send: Send,
    stop: threading.Event,
) -> Result:
    """Args: encoded: the source in the pipeline's format; send: what `run_producer` returns of it.

    Raises:
        ConfigError: an option is none, or the address is not to be asked.
        ConnectError: it does not answer.
        NrtctlError: its answer is none that can be sent.
    """
    from nrtctl.cli.waits import Waits
    from nrtctl.config.units import parse_duration
    from nrtctl.errors import ConnectError, NrtctlError
    from nrtctl.producer.fetching.addresses import shown

    every = None if fetching.every is None else positive(parse_duration, fetching.every, "--every")
    run = _Run(session, url, how, fetching, topic, key=key, encoded=encoded)
    waits, total = Waits(session.say), _Total()
    failure: NrtctlError | None = None
    with ExitStack() as stack:
        into = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nrtctl-fetch-")))
        stack.enter_context(Interrupts(stop.set, session.say.note))
        while not stop.is_set():
            began = session.clock.monotonic()
            answer = run.fetcher.patiently(
                run.reached, into, stop, tries=TRIES if every is None else None,
                waiting=waits.waiting,
            )  # fmt: skip
            waits.over()
            if answer is not None:
                try:
                    produced, failure = send(run.source(answer, into))
                except ConnectError as error:
                    if every is None or not total.answers:
                        raise
                    waits.waiting(error.message, AGAIN_SECONDS)
                    stop.wait(AGAIN_SECONDS)
                    continue
                except NrtctlError as error:
                    raise run.named(error, answer) from error
                if failure is not None:
                    failure = run.named(failure, answer)
                undelivered = produced.failed - produced.unsendable
                again = every is not None and failure is None and undelivered > 0
                total.add(produced, again=again)
                if again:
                    session.say.warn(
                        f"{counted(undelivered, 'message was', 'messages were')} not "
                        f"delivered; {shown(url)} is fetched and sent again"
                    )
                elif failure is not None or undelivered:
                    break
                elif produced.ended == "end of input":
                    run.sent(answer)
                    session.say.debug(f"sent {counted(produced.sent, 'message')} from {shown(url)}")
            if every is None:
                break
            stop.wait(max(0.0, every - (session.clock.monotonic() - began)))
    return _result(total, topic, shown(url), failure, stopped=stop.is_set())


class _Run:
    """One address: how far it was fetched, and what is sent of an answer."""

    def __init__(
        self,
        session: Session,
        url: str,
        how: HowToRead,
        fetching: Fetching,
        topic: str,
        *,
        key: str | None,
        encoded: Callable[[Source], Source],
    ) -> None:
        from nrtctl.config.units import parse_size
        from nrtctl.producer.fetching.addresses import checked
        from nrtctl.producer.fetching.answers import Fetcher
        from nrtctl.producer.fetching.cursor import Reached
        from nrtctl.producer.fetching.records import parsed_cursor, parsed_path

        self._session, self._how, self._key, self._encoded = session, how, key, encoded
        self._url = checked(url, allow_http=fetching.allow_http)
        self._reading = how.reading()
        records = fetching.records
        self._records = None if records is None else parsed_path(records, "--records")
        cursor = fetching.cursor
        parameter: str | None = None
        self._path: Keys | None = None
        if cursor is not None:
            parameter, self._path = parsed_cursor(cursor)
        self._highest: Highest | None = None
        self._kept = self._file(fetching, topic)
        self.reached = Reached() if self._kept is None else self._kept.read()
        self.fetcher = Fetcher(
            session.config.fetch, self._url, parameter, clock=session.clock,
            most=int(positive(parse_size, fetching.max_answer, "--max-answer")),
            allow_http=fetching.allow_http,
        )  # fmt: skip

    def _file(self, fetching: Fetching, topic: str) -> Kept | None:
        """None: nothing is remembered of a single fetch without a cursor. A topic that is made
        again under its name is filled from the beginning."""
        from nrtctl.kafka import clients, topics
        from nrtctl.producer.fetching.cursor import Kept

        if fetching.every is None and fetching.cursor is None:
            return None
        session = self._session
        address, kafka = session.addresses.bootstrap_servers, session.config.kafka
        admin = clients.make_admin(kafka, address=address)
        number = topics.topic_id(admin, topic, address=address, timeout=kafka.connect_timeout)
        what = (self._url, topic, number, fetching.records or "", fetching.cursor or "")
        return Kept(session.loaded.state_dir, *what)

    def source(self, answer: Answer, into: Path) -> Source:
        """What is sent of it. Raises NrtctlError: it is nothing that can be sent."""
        from nrtctl.errors import NrtctlError
        from nrtctl.producer.fetching.addresses import shown
        from nrtctl.producer.fetching.records import Highest, Watched, raw_at
        from nrtctl.producer.sources.choosing import Files, source_of

        path = answer.path
        if self._records is not None:
            if path.stat().st_size > MOST_WITH_RECORDS:
                most = MOST_WITH_RECORDS >> 20
                raise NrtctlError(
                    f"{shown(self._url)} answers with more than {most} MiB, and --records "
                    "needs the whole response at once"
                )
            found = raw_at(path.read_bytes(), self._records, shown(self._url))
            path = into / "records.json"
            path.write_bytes(found)
        files, session = Files([str(path)], self._reading), self._session
        source = source_of(files, session.config.pipeline, key=self._key, clock=session.clock)
        if self._path is not None:
            self._highest = Highest(self._path, self.reached.cursor)
            source = Watched(source, self._highest)
        return self._encoded(source)

    def sent(self, answer: Answer) -> None:
        """Kafka has all of it: the next request may go on behind it."""
        from dataclasses import replace

        reached = answer.reached
        if self._highest is not None and self._highest.text != reached.cursor:
            # What the server has said of this answer is not about the next one.
            reached = replace(reached, cursor=self._highest.text, etag="", modified="")
        self.reached = reached
        if self._kept is not None:
            self._kept.write(reached)

    def named(self, error: NrtctlError, answer: Answer) -> NrtctlError:
        """The same, of the address instead of the file."""
        from nrtctl.producer.fetching.addresses import shown

        for path in (answer.path, answer.path.with_name("records.json")):
            error.message = error.message.replace(str(path), shown(self._url))
        error.args = (error.message,)
        return error


def _result(
    total: _Total, topic: str, place: str, failure: NrtctlError | None, *, stopped: bool
) -> Result:
    from nrtctl.errors import NrtctlError

    if failure is None and total.failed:
        failed = counted(total.failed, "message was", "messages were")
        failure = NrtctlError(f"{failed} not delivered, from {place}")
    ended = "error" if failure is not None else "stopped" if stopped else "end of input"
    words = (
        f"sent {total.sent:,}, acknowledged {total.acknowledged:,}, failed {total.failed:,} "
        f"from {counted(total.answers, 'response')} to {topic}; ended: {ended}"
    )
    data = {
        "topic": topic, "answers": total.answers, "sent": total.sent,
        "acknowledged": total.acknowledged, "failed": total.failed,
        "unsendable": total.unsendable, "seconds": round(total.seconds, 3),
        "examples": total.examples, "ended": ended,
    }  # fmt: skip
    said = [Warn(each) for each in total.examples]
    return Document(data, [words], said=said, failure=failure)
