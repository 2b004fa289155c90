"""`python -m nrtctl.local.registry`: the schema registry as a process. `stack.local` starts it."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from pathlib import Path

from nrtctl.local.process import DataDir
from nrtctl.local.serving import answer_until_stopped, arguments_of, password_of, run

MOST_CONNECTIONS = 64

log = logging.getLogger("nrtctl.local.registry")


async def _serve(arguments: argparse.Namespace, data: DataDir, listening: socket.socket) -> None:
    from nrtctl.local.registry.app import Registry
    from nrtctl.local.registry.store import Store

    store = Store(Path())
    app = Registry(
        store,
        password=password_of(arguments.password_file or Path("password")),
        host=arguments.host,
        silence=arguments.max_silence,
        check=data.check,
    )
    await answer_until_stopped(app, arguments, data, listening, most_connections=MOST_CONNECTIONS)
    store.close()
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(run(arguments_of("nrtctl.local.registry", __doc__, 8081).parse_args(),
                 "registry.log", _serve))  # fmt: skip
