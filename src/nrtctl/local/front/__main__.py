"""`python -m nrtctl.local.front`: the ClickHouse front as a process. `stack.local` starts it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from nrtctl import __version__
from nrtctl.local.process import (
    EXIT_ADDRESS,
    EXIT_FAILED,
    EXIT_STORAGE,
    STORAGE_ERRNOS,
    DataDir,
    ProcessError,
    joined,
    log_to,
    raise_file_limit,
    when_stdin_closes,
    write_atomically,
)

if TYPE_CHECKING:
    from nrtctl.local.front.engine import Engine

WORKING_DIRECTORY = Path("/proc/self/cwd")
MOST_CONNECTIONS = 512
STOP_GRACE = 5
"""Seconds that what runs has to end by itself, once the process is to stop."""
STORAGE_WORDS = ("No space left", "Permission denied", "Read-only file system", "NOT_ENOUGH_SPACE")

log = logging.getLogger("nrtctl.local.front")


def _absolute(path: str) -> Path:
    return Path(path).absolute()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nrtctl.local.front", description=__doc__)
    parser.add_argument("--data-dir", type=_absolute, required=True)
    parser.add_argument("--stack-id", help="whose front this is")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123, help="0: any free one")
    parser.add_argument("--log", type=_absolute)
    parser.add_argument("--password-file", type=_absolute)
    parser.add_argument("--max-memory", type=int, default=4 * 2**30)
    parser.add_argument("--system-logs", action="store_true", help="query_log and the like")
    parser.add_argument("--max-inserts", type=int, default=4)
    parser.add_argument("--max-queries", type=int, default=16)
    parser.add_argument("--max-body-bytes", type=int, default=2**30)
    parser.add_argument("--max-silence", type=float, default=60, help="seconds, of a sender")
    parser.add_argument("--until-stdin-closes", action="store_true")
    return parser.parse_args()


def _own_directory(data: DataDir) -> Path:
    """An absolute path, as the engine wants it, that leads to the directory that is locked,
    whatever becomes of its name (where the system has such paths)."""
    return WORKING_DIRECTORY if WORKING_DIRECTORY.exists() else data.path


def _instance_id() -> str:
    path = Path("instance")
    if not path.exists():
        write_atomically(path, uuid.uuid4().hex.encode())
    return path.read_text()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ProcessError(f"{joined(host, port)}: {why}", EXIT_ADDRESS) from error
    # Inherited by connections. Without it every answer waits for an ACK that is delayed by 40 ms;
    # asyncio sets it only where the socket's protocol number is given.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


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
    import uvicorn

    from nrtctl.local.front.access import password_of

    password = password_of(arguments.password_file or Path("password"))
    engine = _open_engine(data, arguments.max_memory, logs=arguments.system_logs)

    from nrtctl.local.front.app import Front, Limits
    from nrtctl.local.front.protocol import bounded

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
    server = uvicorn.Server(
        uvicorn.Config(
            front,
            http=bounded(arguments.max_silence),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=STOP_GRACE,
            limit_concurrency=MOST_CONNECTIONS,
        )
    )
    if arguments.until_stdin_closes:
        when_stdin_closes(lambda: setattr(server, "should_exit", True))
    # uvicorn raises the signal again when it has stopped; the data directory is released later.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if not serving.done():
        host, port = listening.getsockname()[:2]
        data.announce(host, port, _instance_id(), __version__)
        log.info("ready at http://%s, engine %s", joined(host, port), engine.version)
    await serving
    log.info("stopping")
    await asyncio.to_thread(engine.cancel)
    # A statement's connection is closed by the request that has it, and before the engine's own.
    if requests := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(requests, timeout=STOP_GRACE)
    engine.close()
    log.info("stopped")


def main() -> int:
    arguments = _arguments()
    data = None
    try:
        raise_file_limit()
        data = DataDir(arguments.data_dir)
        data.watch()
        log_to(arguments.log or arguments.data_dir / "front.log")
        listening = _listen(arguments.host, arguments.port)
        asyncio.run(_serve(arguments, data, listening))
    except ProcessError as error:
        return _ended(str(error), error.exit_code)
    except OSError as error:
        code = EXIT_STORAGE if error.errno in STORAGE_ERRNOS else EXIT_FAILED
        return _ended(f"{arguments.data_dir}: {error.strerror or error}", code)
    finally:
        if data is not None:
            data.close()
    return 0


def _ended(why: str, code: int) -> int:
    if logging.getLogger().handlers:
        log.error("%s", why)
    print(why, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
