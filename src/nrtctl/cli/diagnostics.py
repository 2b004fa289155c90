"""Owns stderr and exit codes: notes, errors with their hints, progress on a terminal.

What is said may quote a message or a server: all of it is made safe for a terminal here.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nrtctl.cli.endings import endings
from nrtctl.cli.living_line import LivingLine
from nrtctl.view.colours import BAD, COURSE, WARN
from nrtctl.view.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
UNEXPECTED = 1


class Diagnostics:
    """What the user is told beside the data. Secrets never come here."""

    def __init__(self, *, color: str = "auto", quiet: bool = False, verbosity: int = 0) -> None:
        self.color = color
        self.quiet = quiet
        self.verbosity = verbosity
        self._subject = ""
        self._line = LivingLine()
        self.lives = True
        """Whether a last line may live on a terminal; else another process has that line."""
        self._console: Console | None = None

    def about(self, name: str) -> Diagnostics:
        """The same, for what is said of one of several pipelines: it begins with the name."""
        made = Diagnostics(color=self.color, quiet=self.quiet, verbosity=self.verbosity)
        made._subject, made._console, made._line = f"{name}: ", self.console, self._line
        made.lives = self.lives
        return made

    @property
    def console(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False, **color_options(self.color))
        return self._console

    @property
    def interactive(self) -> bool:
        """Whether progress may be drawn."""
        return sys.stderr.isatty() and not self.quiet and not os.environ.get("CI")

    def note(self, text: str) -> None:
        if not self.quiet:
            self._print(f"{self._subject}{text}")

    def warn(self, text: str) -> None:
        self._print(f"warning: {self._subject}{text}", style=WARN)

    def error(self, message: str, hint: str | None) -> None:
        for line in message.strip("\n").split("\n"):
            self._print("error: ", style=f"bold {BAD}", end="")
            self._print(line)
        if hint:
            self._print("hint: ", style=COURSE, end="")
            self._print(hint)

    def traceback(self) -> None:
        """Of the exception that is being handled."""
        import traceback

        self._print(traceback.format_exc().rstrip("\n"), style="dim")

    def _print(self, text: str, *, style: str | None = None, end: str = "\n") -> None:
        safe = printable(text, keep="\n")
        with self._line.aside(self.console, ends_line=end == "\n"):
            self.console.print(
                safe, style=style, end=end, markup=False, emoji=False, soft_wrap=True
            )

    def live(self, text: str) -> None:
        """On a terminal, a last line that the next one replaces; empty: there is none any more."""
        if self.interactive and self.lives:
            self._line.show(self.console, text)

    def debug(self, text: str) -> None:
        if self.verbosity:
            self.note(text)

    def passed_on(self, line: str, telling: bool) -> None:
        """A line of another program: what tells something is shown, the rest with -v."""
        (self.note if telling else self.debug)(line)


def color_options(color: str, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Options of a rich Console. NO_COLOR, FORCE_COLOR and a terminal's absence it minds itself."""
    if color == "always":
        return {"force_terminal": True}
    if color == "never":
        return {"color_system": None}
    if environ.get("NO_COLOR"):
        return {"no_color": True}
    return {}


def run(main: Callable[[], object], diagnostics: Diagnostics, *, debug: bool) -> int:
    """Run a command; its exit code. The only place where an exception becomes text."""
    import typer

    from nrtctl.cli.system_errors import explained, short_of
    from nrtctl.errors import NrtctlError

    try:
        main()
    except NrtctlError as error:
        if debug:
            diagnostics.traceback()
        diagnostics.error(error.message, error.hint)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        diagnostics.error("interrupted", None)
        return INTERRUPTED
    except OSError as error:
        if debug:
            diagnostics.traceback()
        found = explained(error)
        diagnostics.error(found.message, found.hint)
        return found.exit_code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as error:  # noqa: BLE001
        if debug:
            diagnostics.traceback()
        if (short := short_of(error)) is not None:
            diagnostics.error(short.message, short.hint)
            return short.exit_code
        diagnostics.error(
            f"unexpected {type(error).__name__}: {error}",
            None if debug else "run the command again with --debug to see the traceback",
        )
        return UNEXPECTED
    return 0


class Interrupts:
    """The first Ctrl-C, SIGTERM or SIGHUP calls `first`; a second one ends the process at once.

    A terminal that closes may send SIGHUP more than once: that asks for no haste.

    What follows from the first runs on a thread of its own: the handler interrupts whatever the
    main thread does, which may hold the lock that it needs. An event that the main thread was about
    to wait for could not be set.
    """

    def __init__(self, first: Callable[[], None], note: Callable[[str], None]) -> None:
        self._first = first
        self._note = note
        self._count = 0
        self.interrupted = False

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._handle) for number in endings()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: object) -> None:
        if self._count and number == signal.SIGHUP:
            return
        self._count += 1
        if self._count > 1:
            os._exit(INTERRUPTED)
        self.interrupted = number == signal.SIGINT
        _thread.start_new_thread(self._begin_to_stop, ())

    def _begin_to_stop(self) -> None:
        self._note("stopping when what is in progress is finished (a second Ctrl-C stops at once)")
        self._first()


class Ticker:
    """Calls at most `per_second` times a second; the rest is dropped."""

    def __init__(self, per_second: float) -> None:
        self._every = 1 / per_second
        self._last = 0.0

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._every:
            return False
        self._last = now
        return True
