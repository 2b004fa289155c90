"""`python -m nrtctl.local.front`: the ClickHouse front as a process. `stack.local` starts it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nrtctl.local.process import EXIT_FAILED, EXIT_STORAGE, DataDir, ProcessError
from nrtctl.local.serving import (
    answer_until_stopped,
    arguments_of,
    password_of,
    run,
)

if TYPE_CHECKING:
    from nrtctl.local.front.engine import Engine

WORKING_DIRECTORY = Path("/proc/self/cwd")
MOST_CONNECTIONS = 512
CANCEL_AGAIN = 0.2
CANCEL_SECONDS = 20.0
"""For statements that have been cancelled."""

STORAGE_WORDS = ("No space left", "Permission denied", "Read-only file system", "NOT_ENOUGH_SPACE")

log = logging.getLogger("nrtctl.local.front")


def _arguments() -> argparse.Namespace:
    parser = arguments_of("nrtctl.local.front", __doc__, 8123)
    parser.add_argument("--max-memory", type=int, default=4 * 2**30)
    parser.add_argument("--system-logs", action="store_true", help="query_log and the like")
    parser.add_argument("--max-inserts", type=int, default=4)
    parser.add_argument("--max-queries", type=int, default=16)
    parser.add_argument("--max-body-bytes", type=int, default=2**30)
    return parser.parse_args()


def _own_directory(data: DataDir) -> Path:
    """An absolute path, as the engine wants it, that leads to the directory that is locked,
    whatever becomes of its name (where the system has such paths)."""
    return WORKING_DIRECTORY if WORKING_DIRECTORY.exists() else data.path


def _emptied(directory: Path) -> Path:
    """Made, and without what a crash has left. Raises OSError."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    return directory


def _open_engine(data: DataDir, max_memory: int, *, logs: bool) -> Engine:
    """Raises ProcessError, with the engine's reason."""
    said: list[str] = []
    own = _own_directory(data)
    try:
        _emptied(own / "bodies")
        # chdb makes a directory there when it is imported; a crash leaves it.
        os.environ["TMPDIR"] = str(_emptied(own / "tmp"))
        from nrtctl.local.front.set_aside import said_on_stderr

        with said_on_stderr(said, own):
            from nrtctl.local.front.engine import Engine

            return Engine(own / "data", max_memory=max_memory, logs=logs, still_ours=data.check)
    except OSError as error:
        raise ProcessError(f"{data.path}: {error.strerror}", EXIT_STORAGE) from error
    except Exception as error:
        words = "".join(said) or str(error).partition(", Stack trace")[0]
        text = " ".join(words.split())
        storage = any(words in text for words in STORAGE_WORDS)
        code = EXIT_STORAGE if storage else EXIT_FAILED
        raise ProcessError(f"{data.path}: {text}", code) from error


async def _serve(arguments: argparse.Namespace, data: DataDir, listening: socket.socket) -> None:
    password = password_of(arguments.password_file or Path("password"))
    engine = _open_engine(data, arguments.max_memory, logs=arguments.system_logs)

    from nrtctl.local.front.app import Front, Limits

    limits = Limits(
        max_inserts=arguments.max_inserts,
        max_queries=arguments.max_queries,
        max_body_bytes=arguments.max_body_bytes,
        silence_seconds=arguments.max_silence,
    )
    front = Front(
        engine,
        password=password,
        host=arguments.host,
        limits=limits,
        spill_to=_own_directory(data) / "bodies",
    )
    await answer_until_stopped(
        front,
        arguments,
        data,
        listening,
        most_connections=MOST_CONNECTIONS,
        ready=f", engine {engine.version}",
    )
    if not await _ended(engine):
        # To close the engine would wait for them without end; a kill harms it as little.
        log.error("statements do not end: the process ends without them")
        os._exit(EXIT_FAILED)
    engine.close()
    log.info("stopped")


async def _ended(engine: Engine) -> bool:
    """Whether no request runs any more: each closes the connection of its statement, and the
    engine's own is closed after them. One may have begun another statement since the last look."""
    requests = asyncio.all_tasks() - {asyncio.current_task()}
    deadline = time.monotonic() + CANCEL_SECONDS
    while requests and time.monotonic() < deadline:
        await asyncio.to_thread(engine.cancel)
        _, requests = await asyncio.wait(requests, timeout=CANCEL_AGAIN)
    return not requests


def main() -> int:
    return run(_arguments(), "front.log", _serve)


if __name__ == "__main__":
    sys.exit(main())
