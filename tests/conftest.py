"""Plugins that more than one directory of tests uses."""

import gc
import os
import signal
import sys

import hypothesis

# A machine that is busy makes no test fail: no example is timed. Every run tries the same examples,
# so that a change is judged by what it changes; `make examples` tries others.
hypothesis.settings.register_profile(
    "untimed",
    deadline=None,
    derandomize="NRTCTL_TEST_EXAMPLES" not in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("untimed")

# Without bytecode each of a thousand commands would compile the product again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A run in the background ignores Ctrl-C, and so would every command that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What collecting makes stays to the end: looking through it for garbage finds none, and costs a
# third of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


pytest_plugins = [
    "tests.plugins.given_servers",
    "tests.plugins.apache_kafka",
    "tests.plugins.apache_tools",
    "tests.plugins.clickhouse_front",
    "tests.plugins.fake_docker",
    "tests.plugins.kafka_wire",
    "tests.plugins.local_broker",
    "tests.plugins.pipeline_engine",
    "tests.plugins.schema_registry",
    "tests.plugins.apicurio",
    "tests.plugins.secure_kafka",
    "tests.plugins.skips",
    "tests.plugins.small_disk",
    "tests.plugins.stack",
    "tests.plugins.place",
    "tests.plugins.busy",
    "tests.plugins.airflow",
    "tests.plugins.spark",
    "tests.plugins.unneeded",
    "tests.plugins.one_shard",
    "tests.plugins.workers",
]
