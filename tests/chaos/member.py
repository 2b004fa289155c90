"""A member of the consumer group: one `nrtctl consume`, as a process that can be broken."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from pathlib import Path

from tests.chaos.limits import LIMIT, Hang, NeverReached, Trouble, wait_until
from tests.plugins.stack import Project


class Member:
    """Started at once; its stderr goes to a file, and SIGABRT makes it write every stack there.

    Args:
        fault: NRTCTL_FAULT, see `nrtctl.store.faultpoints`.
        instance: `group.instance.id`; without one the member is a dynamic one.
    """

    def __init__(
        self,
        project: Project,
        log: Path,
        *arguments: str,
        fault: str | None = None,
        instance: str | None = None,
    ) -> None:
        self.log = log
        self.fault = fault
        command = ["consume", *arguments]
        if instance is not None:
            command += ["--set", f'kafka.properties."group.instance.id"={instance}']
        environ = project.environ | {"PYTHONFAULTHANDLER": "1"}
        if fault is not None:
            environ["NRTCTL_FAULT"] = fault
        with log.open("ab") as output:
            self.process = project.spawn(*command, stdout=output, stderr=output, environ=environ)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def interrupt(self) -> None:
        """Ctrl-C, once it has started so far that it has clients of Kafka: then it minds it."""
        threads = Path(f"/proc/{self.process.pid}/task")

        def minds() -> bool:
            try:
                names = [(each / "comm").read_text() for each in threads.iterdir()]
            except OSError:  # a thread has just ended
                return False
            return any(name.startswith("rdk:") for name in names)

        wait_until(lambda: not self.alive or minds(), "the consumer starts")
        self.process.send_signal(signal.SIGINT)

    def wait_for_fault(self, limit: float = LIMIT) -> None:
        """Return when its own fault has killed it.

        Raises:
            NeverReached: it came to its end, or to nothing, without.
        """
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise NeverReached(f"{self.fault} was not reached\n{self.dump()}") from None
        if code != -signal.SIGKILL:
            raise NeverReached(f"{self.fault}: ended with {code} before\n{self.said()}")

    def wait_until_stopped(self, limit: float = LIMIT) -> None:
        """Return when its own fault has stopped (SIGSTOP) it."""
        state = Path(f"/proc/{self.process.pid}/stat")
        try:
            wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T",
                       f"{self.fault}", limit=limit)  # fmt: skip
        except (Hang, OSError) as error:
            raise NeverReached(f"{error}\n{self.dump()}") from error

    def finish(self, limit: float = LIMIT) -> None:
        """Ctrl-C, and the end that it should have.

        Raises:
            Hang: it did not end; with the stack of every thread.
            Trouble: it ended with another code than 0.
        """
        self.interrupt()
        self.wait_for_end(limit)

    def wait_for_end(self, limit: float = LIMIT) -> None:
        """As `finish`, without the Ctrl-C."""
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Hang(f"the consumer does not end\n{self.dump()}") from None
        if code != 0:
            raise Trouble(f"the consumer ended with {code}\n{self.said()}")

    def dump(self) -> str:
        """End it; what it said, with the stack of every thread if it still ran."""
        if self.alive:
            self.go_on()
            self.process.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.close()
        return self.said()

    def close(self) -> None:
        if self.alive:
            self.process.kill()
            self.process.wait()
