"""A registry of a command's own, with what every command tells. Used by the other modules here."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Info, ProcessCollector, disable_created_metrics

from nrtctl import __version__


def make_registry(command: str) -> CollectorRegistry:
    """With `nrtctl_build_info` and the process's own `process_…` metrics."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry(auto_describe=True)
    build = Info("nrtctl_build", "Version and command of this process.", registry=registry)
    build.info({"version": __version__, "command": command})
    ProcessCollector(registry=registry)
    return registry
