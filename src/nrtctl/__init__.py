"""nrtctl: a near-real-time pipeline from Kafka to ClickHouse, for the terminal and for programs.

What is in `__all__` is for programs (docs/python-api.md) and is imported when it is first asked
for, so that `import nrtctl` and `nrtctl --help` load no library.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nrtctl.client import Client
    from nrtctl.config.load import Loaded, load_config
    from nrtctl.config.model import Config
    from nrtctl.consumer.result import Consumed, Insert, NotStored
    from nrtctl.errors import (
        CheckFailed,
        ConfigError,
        ConnectError,
        NrtctlError,
        QueryError,
        WaitTimeout,
    )
    from nrtctl.pipeline import Pipeline
    from nrtctl.producer.run import NotDelivered, Produced, Progress
    from nrtctl.producer.sources.files.kinds import Reading
    from nrtctl.producer.sources.from_program import Message
    from nrtctl.replay.move import Moved
    from nrtctl.stack.up import Up
    from nrtctl.stats.snapshot import Snapshot
    from nrtctl.verify.report import Report

__version__ = "0.1.0"

__all__ = [
    "CheckFailed",
    "Client",
    "Config",
    "ConfigError",
    "ConnectError",
    "Consumed",
    "Insert",
    "Loaded",
    "Message",
    "Moved",
    "NotDelivered",
    "NotStored",
    "NrtctlError",
    "Pipeline",
    "Produced",
    "Progress",
    "QueryError",
    "Reading",
    "Report",
    "Snapshot",
    "Up",
    "WaitTimeout",
    "__version__",
    "load_config",
]

_MODULES = {
    "CheckFailed": "errors",
    "Client": "client",
    "Config": "config.model",
    "ConfigError": "errors",
    "ConnectError": "errors",
    "Consumed": "consumer.result",
    "Insert": "consumer.result",
    "Loaded": "config.load",
    "Message": "producer.sources.from_program",
    "Moved": "replay.move",
    "NotDelivered": "producer.run",
    "NotStored": "consumer.result",
    "NrtctlError": "errors",
    "Pipeline": "pipeline",
    "Produced": "producer.run",
    "Progress": "producer.run",
    "QueryError": "errors",
    "Reading": "producer.sources.files.kinds",
    "Report": "verify.report",
    "Snapshot": "stats.snapshot",
    "Up": "stack.up",
    "WaitTimeout": "errors",
    "load_config": "config.load",
}


def __getattr__(name: str) -> object:
    """PEP 562. Raises AttributeError: there is no such name."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"nrtctl.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
