"""Messages in which a regular expression is found. Used by `peek_command` and, in a process of its
own, by `dashboard_questions`.

A search keeps the interpreter's lock until it ends, and some patterns take years: beside other
threads only a process that can be killed may search. It is this module, so it imports little.
"""

from __future__ import annotations

import faulthandler
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Timer
from typing import IO, Any

from nrtctl.errors import ConfigError

DONE = 1.0
"""Seconds after its time at which the process ends by itself, should its parent be gone."""
SIZE = 8
"""Bytes of a number that goes before what it counts."""


def searched(message: Any, pattern: re.Pattern[str]) -> bool:
    """Whether the key, the value or a header has the pattern; bytes count as their escapes."""
    return _has(_parts(message), pattern)


def compiled(text: str) -> re.Pattern[str]:
    """Raises ValueError: it is no regular expression."""
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error


def _parts(message: Any) -> list[bytes]:
    parts = [message.key(), message.value()]
    for name, value in message.headers() or ():
        parts += [name.encode(errors="surrogatepass"), value]
    return [each for each in parts if each is not None]


def _has(parts: list[bytes], pattern: re.Pattern[str]) -> bool:
    return any(pattern.search(data.decode(errors="backslashreplace")) for data in parts)


class Search:
    """One search within a time, which begins when it is entered.

    Attributes:
        stop: set when the time is over.
        slow: "partition/offset" of the message that was being searched then.
    """

    def __init__(self, pattern: str | None, seconds: float) -> None:
        """Args: pattern: None: each message has it, and no process is started."""
        self.stop = Event()
        self.slow: str | None = None
        self._pattern = pattern
        self._seconds = seconds
        self._process: Any = None
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Search:
        """Raises ConfigError: the pattern is no regular expression, or takes too long to read."""
        if self._pattern is not None:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "nrtctl.cli.pattern_search", str(self._seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # the terminal's Ctrl-C is for the parent
            )
        self._timer.start()
        if self._pattern is not None:
            try:
                self._begin(self._pattern)
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            with suppress(OSError):  # what could not be written any more
                self._process.stdin.close()

    def having(self, messages: list[Any]) -> list[Any]:
        """Those that have the pattern, as far as the time goes.

        Raises ConfigError: the process has ended before its time, as for want of memory.
        """
        if self._process is None:
            return messages
        if self.stop.is_set():
            return []
        asked, answering = self._process.stdin, self._process.stdout
        with suppress(OSError):  # it has ended: there are fewer answers then
            _put_number(asked, len(messages))
            for message in messages:
                _put(asked, _parts(message))
            asked.flush()
        answers = answering.read(len(messages))
        if len(answers) < len(messages):
            at = messages[len(answers)]
            self.slow = f"{at.partition()}/{at.offset()}"
            if not self.stop.is_set():
                raise ConfigError(
                    f"the search for {self._pattern!r} has broken off at message {self.slow}",
                    hint="it may take more memory than there is: try a simpler pattern",
                )
        return [each for each, has in zip(messages, answers, strict=False) if has]

    def _begin(self, pattern: str) -> None:
        with suppress(OSError):
            _put(self._process.stdin, [pattern.encode(errors="surrogatepass")])
            self._process.stdin.flush()
        wrong = next(_taken(self._process.stdout), None)
        if wrong is None:
            why = "in time" if self.stop.is_set() else "in the memory that there is"
            raise ConfigError(f"{pattern!r} cannot be read {why}", hint="try a simpler pattern")
        if wrong:
            raise ConfigError(wrong[0].decode(errors="surrogatepass"))

    def _end(self) -> None:
        self.stop.set()
        if self._process is not None:
            self._process.kill()


def _put_number(file: IO[bytes], number: int) -> None:
    file.write(number.to_bytes(SIZE, "big"))


def _put(file: IO[bytes], parts: list[bytes]) -> None:
    _put_number(file, len(parts))
    for each in parts:
        _put_number(file, len(each))
        file.write(each)


def _number(file: IO[bytes]) -> int | None:
    read = file.read(SIZE)
    return int.from_bytes(read, "big") if len(read) == SIZE else None


def _taken(file: IO[bytes]) -> Iterator[list[bytes]]:
    """What was `_put`, until the other side has closed it."""
    while (count := _number(file)) is not None:
        yield [file.read(_number(file) or 0) for _ in range(count)]


def _main() -> None:
    """All of a block is read before the first answer: neither side waits for the other to read."""
    with open(os.devnull, "w") as nowhere:
        # Of all that ends a process at a time, this needs no lock of the interpreter's.
        seconds = float(sys.argv[1]) + DONE
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        asked, answers = sys.stdin.buffer, sys.stdout.buffer
        came = _taken(asked)
        try:
            pattern = compiled(next(came)[0].decode(errors="surrogatepass"))
        except ValueError as error:
            _put(answers, [str(error).encode(errors="surrogatepass")])
            return
        _put(answers, [])
        answers.flush()
        while (count := _number(asked)) is not None:
            for parts in [next(came) for _ in range(count)]:
                answers.write(b"\1" if _has(parts, pattern) else b"\0")
                answers.flush()


if __name__ == "__main__":
    _main()
