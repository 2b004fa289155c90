"""The machine, the versions and the settings that figures belong to. Called by `nrtctl bench`."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nrtctl
from nrtctl.bench.scratch import Scratch
from nrtctl.config.units import format_wait
from nrtctl.kafka import clients
from nrtctl.kafka.native_fetch import fetching


def machine() -> dict[str, Any]:
    """Cores this process may use, memory in bytes (None: not told), load before anything runs."""
    pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in os.sysconf_names else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "processor": _processor(),
        "memory_bytes": None if pages is None else pages * os.sysconf("SC_PAGE_SIZE"),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
    }


def versions(stack: Scratch) -> dict[str, str]:
    client = stack.client()
    try:
        server = client.server_version
    finally:
        client.close()
    return {
        "nrtctl": nrtctl.__version__,
        "python": platform.python_version(),
        "clickhouse": server,
        "librdkafka": clients.librdkafka_version(),
        "clickhouse_connect": version("clickhouse-connect"),
    }


def settings(stack: Scratch) -> dict[str, Any]:
    config = stack.config()
    return {
        "delivery": config.consumer.delivery,
        "compiled": config.consumer.compiled and fetching() is not None,
        "partitions": config.pipeline.partitions,
        "max_rows": config.batch.max_rows,
        "max_bytes": config.batch.max_bytes,
        "max_wait": format_wait(config.batch.max_wait),
        "max_inserts": config.consumer.max_inserts,
        "projections_and_views": "all of the reference pipeline",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
