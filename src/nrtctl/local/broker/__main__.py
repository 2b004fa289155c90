"""The broker's process: `python -m nrtctl.local.broker --data-dir D …`.

Started by the `up` command and by tests. It announces itself in `D/endpoint.json` once it answers
(see `nrtctl.local.process`, also for the exit codes) and stops on SIGTERM, SIGINT or, if so asked,
when its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from importlib import import_module
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
    when_stdin_closes,
)
from nrtctl.net.kept import kept
from nrtctl.net.posix import raise_file_limit

if TYPE_CHECKING:
    from nrtctl.local.broker.broker import Broker
    from nrtctl.local.broker.server import Server

logger = logging.getLogger("nrtctl.local.broker")

SWEEP_SECONDS = 2.0
SYNC_SECONDS = 1.0
TICK_SECONDS = 1.0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nrtctl.local.broker", description=__doc__)
    parser.add_argument("--data-dir", type=_absolute, required=True)
    parser.add_argument("--stack-id", help="the cluster id; otherwise that of the directory")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--advertised-host", help="host that clients are told to connect to")
    parser.add_argument("--log", type=_absolute, help="log file, rotated")
    parser.add_argument("--fsync", choices=("never", "interval", "always"), default="interval")
    parser.add_argument("--until-stdin-closes", action="store_true")
    parser.add_argument("--auto-create-topics", action="store_true")
    parser.add_argument("--default-partitions", type=int, default=1)
    parser.add_argument("--initial-rebalance-delay-ms", type=int, default=50)
    parser.add_argument("--min-session-timeout-ms", type=int, default=6_000)
    parser.add_argument("--max-connections", type=int, default=1_000)
    parser.add_argument("--max-request-bytes", type=int, default=100 * 1024 * 1024)
    parser.add_argument(
        "--max-buffered-bytes", type=int, default=128 * 1024 * 1024, help="of all connections"
    )
    parser.add_argument("--half-sent-seconds", type=int, default=30)
    parser.add_argument("--unread-seconds", type=int, default=60)
    parser.add_argument("--login-seconds", type=int, default=10)
    parser.add_argument("--idle-seconds", type=int, default=600)
    parser.add_argument(
        "--password-file",
        type=_absolute,
        help="how everybody but the user who started it must log in; none: no login is needed",
    )
    parser.add_argument("--ask-everybody", action="store_true", help="also the user who started it")
    parser.add_argument("--max-message-bytes", type=int, help="default of max.message.bytes")
    parser.add_argument("--retention-ms", type=int, help="default of retention.ms")
    parser.add_argument("--retention-bytes", type=int, help="default of retention.bytes")
    parser.add_argument("--segment-bytes", type=int, help="default of segment.bytes")
    return parser


def _absolute(path: str) -> Path:
    return Path(path).absolute()


def topic_defaults(options: argparse.Namespace) -> dict[str, str]:
    given = {
        "max.message.bytes": options.max_message_bytes,
        "retention.ms": options.retention_ms,
        "retention.bytes": options.retention_bytes,
        "segment.bytes": options.segment_bytes,
    }
    return {key: str(value) for key, value in given.items() if value is not None}


async def serve(options: argparse.Namespace, data_dir: DataDir) -> None:
    """Run until asked to stop. Raises ProcessError."""
    from nrtctl.local.broker.broker import Broker, Options, UnreadableState
    from nrtctl.local.broker.compacting import Compactor
    from nrtctl.local.broker.configs import TopicConfig
    from nrtctl.local.broker.login import Credentials
    from nrtctl.local.broker.peers import Peers
    from nrtctl.local.broker.server import Limits, Server
    from nrtctl.local.broker.wire.errors import Refused

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.until_stdin_closes:

        def stdin_closed() -> None:
            loop.call_soon_threadsafe(stop.set)

        when_stdin_closes(stdin_closed)
    raise_file_limit()
    keep_freed_memory()
    password = read_password(options.password_file)
    defaults = topic_defaults(options)
    try:
        TopicConfig({}, defaults)
    except Refused as refused:
        raise ProcessError(refused.message or "", 2) from refused
    try:
        broker = Broker(
            Path(),
            Options(
                cluster_id=options.stack_id,
                fsync=options.fsync,
                auto_create_topics=options.auto_create_topics,
                default_partitions=options.default_partitions,
                initial_rebalance_delay_ms=options.initial_rebalance_delay_ms,
                min_session_timeout_ms=options.min_session_timeout_ms,
                topic_defaults=defaults,
            ),
            clock=loop.time,
            call_later=loop.call_later,
        )
    except OSError as error:
        raise ProcessError(f"{options.data_dir}: {error.strerror}", EXIT_STORAGE) from error
    except UnreadableState as error:
        raise ProcessError(f"{options.data_dir}: {error}") from error
    server = Server(
        broker,
        Limits(
            max_connections=options.max_connections,
            max_request_bytes=options.max_request_bytes,
            max_buffered_bytes=options.max_buffered_bytes,
            half_sent=options.half_sent_seconds,
            unread=options.unread_seconds,
            login=options.login_seconds,
            idle=options.idle_seconds,
        ),
        advertised_host=options.advertised_host,
        credentials=Credentials(password, broker.users) if password is not None else None,
        peers=Peers() if password is not None else None,
        trusts_own_user=not options.ask_everybody,
        still_ours=data_dir.check,
    )
    data_dir.watch()
    try:
        try:
            port = await server.listen(options.host, options.port)
        except OSError as error:
            raise ProcessError(
                f"{joined(options.host, options.port)}: {error.strerror}", EXIT_ADDRESS
            ) from error
        instance = uuid.uuid5(uuid.NAMESPACE_OID, broker.cluster_id)
        data_dir.announce(options.host, port, str(instance), __version__)
        logger.info("listening on %s, %d topics", joined(options.host, port), len(broker.topics))
        works = (sweep(broker), sync(broker), ticks(server), Compactor(broker).run())
        upkeep = [loop.create_task(each) for each in works]
        await asyncio.to_thread(import_module, "numpy")  # before the first batch wants it
        await stop.wait()
        for task in upkeep:
            task.cancel()
        await asyncio.gather(*upkeep, return_exceptions=True)
    finally:
        await server.close()
        broker.close()
        logger.info("stopped")


async def sweep(broker: Broker) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            broker.sweep()
        except Exception:
            logger.exception("retention and damage")


async def sync(broker: Broker) -> None:
    """The fsync policy "interval": what has been written becomes durable within about a second."""
    while broker.options.fsync == "interval":
        await asyncio.sleep(SYNC_SECONDS)
        try:
            await broker.sync_soon()
        except Exception:
            logger.exception("fsync")


def keep_freed_memory() -> None:
    """Let glibc reuse the memory of the last answers and requests, up to 32 MiB of it.

    By default it gives blocks of a megabyte back at once, or does not, depending on what came
    before: to get their pages anew cost a fetch as much as all the rest of it.
    """
    mmap_threshold, trim_threshold = -3, -1
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_threshold, 4 * 1024 * 1024)
        libc.mallopt(trim_threshold, 32 * 1024 * 1024)


async def ticks(server: Server) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        try:
            server.tick()
        except Exception:
            logger.exception("a look at the connections")


def read_password(path: Path | None) -> str | None:
    """Raises ProcessError: it cannot be read, or is empty."""
    if path is None:
        return None
    try:
        password = kept(path)
    except OSError as error:
        raise ProcessError(f"{path}: {error.strerror}", EXIT_STORAGE) from error
    if not password:
        raise ProcessError(f"{path} is empty")
    return password


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments().parse_args(argv)
    try:
        if options.log is not None:
            log_to(options.log)
        data_dir = DataDir(options.data_dir)
        try:
            asyncio.run(serve(options, data_dir))
        finally:
            data_dir.close()
    except ProcessError as error:
        return failed(str(error), error.exit_code)
    except OSError as error:
        code = EXIT_STORAGE if error.errno in STORAGE_ERRNOS else EXIT_FAILED
        return failed(str(error), code)
    return 0


def failed(reason: str, code: int) -> int:
    """Tell on stderr, and in the log if there is one."""
    if logging.getLogger().hasHandlers():
        logger.error("%s", reason)
    sys.stderr.write(f"nrtctl broker: {reason}\n")
    return code


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of numpy: no threads that are never used
    # kio loads hypothesis where it is installed, for its own tests: a third of a second.
    sys.modules.setdefault("hypothesis", None)  # type: ignore[arg-type]
    sys.exit(main())
