"""Several consumers of one group as processes of their own: start, watch, start again, end.

Called by `nrtctl consume --workers N`. A worker is `nrtctl consume --member`: it ends when its
stdin closes, so none outlives the parent, and it prints its summary as JSON.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from nrtctl.clock import Clock

LOOK_SECONDS = 0.05
FIRST_PAUSE = 0.5
MAX_PAUSE = 30.0
SETTLED_SECONDS = 60.0
"""A worker that ran so long is started again after the first pause, not a grown one."""


class _Output:
    """What a process prints, read while it runs: a pipe takes 64 KiB, and then it would wait."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._read = b""
        self._thread = Thread(target=self._run, name="worker-output", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as stream:
                self._read = stream.read()

    def whole(self) -> bytes:
        """All of it, once the process has ended."""
        self._thread.join()
        return self._read


@dataclass(slots=True)
class _Worker:
    number: int
    process: subprocess.Popen[bytes] | None
    output: _Output
    started: float
    pause: float = FIRST_PAUSE
    again_at: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What all of them did.

    Attributes:
        summaries: of the workers that ended in order.
        restarts: how often one that had died was started again.
        exit_code: 0, or that of the worker that made all of them end.
    """

    summaries: list[dict[str, Any]] = field(default_factory=list)
    restarts: int = 0
    exit_code: int = 0


class Workers:
    """Args:
    command: what starts the worker of a number, from 0; every user of the machine can read it.
    environ: the environment that it gets, secrets included.
    ends: a worker that ends in order has nothing left to do (`--until-end`).
    died: told the number of a worker, why it ended, and the seconds until it is started again.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        count: int,
        *,
        environ: Mapping[str, str],
        ends: bool,
        clock: Clock,
        died: Callable[[int, str, float], None],
    ) -> None:
        self._command = command
        self._environ = environ
        self._ends = ends
        self._clock = clock
        self._died = died
        self._stopping = False
        self._outcome = Outcome()
        self._workers = [self._start(number) for number in range(count)]

    def stop(self) -> None:
        """Let all of them drain and end. Safe in a signal handler."""
        self._stopping = True

    def run(self) -> Outcome:
        """Return when all have ended."""
        told = False
        try:
            while self._workers:
                if self._stopping and not told:
                    told = True
                    self._let_end()
                self._look()
                self._clock.sleep(LOOK_SECONDS)
        finally:
            self._kill()
        return self._outcome

    def _start(self, number: int) -> _Worker:
        process = subprocess.Popen(  # noqa: S603
            list(self._command(number)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environ,
            start_new_session=True,  # the terminal's Ctrl-C is for the parent, which passes it on
        )
        return _Worker(number, process, _Output(process), self._clock.monotonic())

    def _let_end(self) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.stdin is not None:
                worker.process.stdin.close()

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()

    def _look(self) -> None:
        for worker in list(self._workers):
            if worker.process is None:
                self._maybe_again(worker)
            elif worker.process.poll() is not None:
                self._ended(worker, worker.process)

    def _maybe_again(self, worker: _Worker) -> None:
        if self._stopping:
            self._workers.remove(worker)
        elif self._clock.monotonic() >= worker.again_at:
            fresh = self._start(worker.number)
            worker.process, worker.output = fresh.process, fresh.output
            worker.started = fresh.started
            self._outcome.restarts += 1

    def _ended(self, worker: _Worker, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()
        code, output = process.returncode, worker.output.whole()
        if code == 0:
            with suppress(ValueError):
                self._outcome.summaries.append(json.loads(output))
        if code > 0:
            self._outcome.exit_code = self._outcome.exit_code or code
            self._stopping = True
        if self._stopping or (code == 0 and self._ends):
            self._workers.remove(worker)
            return
        now = self._clock.monotonic()
        if now - worker.started > SETTLED_SECONDS:
            worker.pause = FIRST_PAUSE
        why = signal.Signals(-code).name if code < 0 else "ended on its own"
        self._died(worker.number + 1, why, worker.pause)
        worker.process = None
        worker.again_at = now + worker.pause
        worker.pause = min(MAX_PAUSE, 2 * worker.pause)
