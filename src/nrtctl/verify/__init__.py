"""Kafka's offsets against ClickHouse's rows, and what mends a difference.

    rows ─▶ compare ─▶ report          what is missing, what is there twice (`nrtctl verify`)
            ledger  ─▶ report          the same against what `produce --ledger` recorded
            repair                     reloads and removes (`nrtctl verify --repair`)

`kafka.log` is the Kafka side. Called by `nrtctl verify` and `nrtctl demo`.
"""

from nrtctl.kafka.partitions import Log, LogPartition, Message
from nrtctl.verify.compare import verify
from nrtctl.verify.report import PartitionReport, Report

__all__ = ["Log", "LogPartition", "Message", "PartitionReport", "Report", "verify"]
