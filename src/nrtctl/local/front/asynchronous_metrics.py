"""`system.asynchronous_metrics`, which the embedded engine has not: a view over what it knows.

It has the metrics that can be told at any time from other tables of `system`, under the names and
with the meaning that a ClickHouse server has; those about the machine are left out. The database
`system` is in memory, so the view is made at each start. Used by `engine`.
Source: https://clickhouse.com/docs/operations/system-tables/asynchronous_metrics
"""

from __future__ import annotations

_METRICS = {
    "Uptime": ("uptime()", "", "Seconds since the start of the process."),
    "NumberOfDatabases": ("count()", "system.databases", "Databases."),
    "NumberOfTables": ("count()", "system.tables", "Tables of all databases."),
    "TotalPartsOfMergeTreeTables": ("count()", "system.parts WHERE active", "Active parts."),
    "TotalRowsOfMergeTreeTables": ("sum(rows)", "system.parts WHERE active", "Their rows."),
    "TotalBytesOfMergeTreeTables": (
        "sum(bytes_on_disk)",
        "system.parts WHERE active",
        "Their bytes on disk.",
    ),
    "MaxPartCountForPartition": (
        "max(parts)",
        "(SELECT count() AS parts FROM system.parts WHERE active "
        "GROUP BY database, table, partition_id)",
        "Active parts of the partition that has most.",
    ),
    "FilesystemMainPathTotalBytes": (
        "sum(total_space)",
        "system.disks WHERE name = 'default'",
        "Bytes of the disk that the data are on.",
    ),
    "FilesystemMainPathAvailableBytes": (
        "sum(unreserved_space)",
        "system.disks WHERE name = 'default'",
        "Bytes of it that are free.",
    ),
}


def make_view() -> str:
    """The statement."""
    parts = " UNION ALL ".join(
        f"SELECT '{name}' AS metric, toFloat64({value}) AS value, '{description}' AS description"
        + (f" FROM {source}" if source else "")
        for name, (value, source, description) in _METRICS.items()
    )
    return f"CREATE VIEW IF NOT EXISTS system.asynchronous_metrics AS {parts}"
