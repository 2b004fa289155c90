"""What the engine lets a client do: all of it, except reaching out of its data directory.

The files written here are chdb's own configuration: grants without sources (`file`, `url`, `s3`,
`remote`, …), dictionaries, backups and shutting the process down; settings that nobody changes
(`outward`); what `keeper` rests on; old parts deleted by one thread, not by up to 128, each of
which is kept for ever with three descriptors; any number of damaged parts set aside at a start; and
the system logs, where they are wanted.
Sources: https://clickhouse.com/docs/sql-reference/statements/grant,
https://clickhouse.com/docs/operations/settings/constraints-on-settings. Used by `engine`.
"""

from __future__ import annotations

from pathlib import Path

from nrtctl.local.front.errors import SYSTEM_LOGS
from nrtctl.local.front.outward import FIXED, FIXED_OF_TABLES
from nrtctl.local.process import write_atomically

_GRANTED = (
    "SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE FUNCTION, "
    "CREATE ARBITRARY TEMPORARY TABLE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, SHOW, CHECK, "
    "SHOW ACCESS, KILL QUERY, dictGet, INTROSPECTION, SYSTEM DROP CACHE, SYSTEM RELOAD, "
    "SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM VIEWS, SYSTEM MOVES, SYSTEM CLEANUP, SYSTEM FLUSH"
)
_USERS = """<clickhouse>
<profiles><default>
{values}
<constraints>
{fixed}
</constraints>
</default></profiles>
<quotas><default/></quotas>
<users><default>
<password></password>
<networks><ip>::/0</ip></networks>
<profile>default</profile>
<quota>default</quota>
<grants><query>GRANT {granted} ON *.*</query></grants>
</default></users>
</clickhouse>
"""
_CONFIG = """<clickhouse>
<users_config>{users}</users_config>
<merge_tree>
<min_bytes_for_full_part_storage>10485760</min_bytes_for_full_part_storage>
<merge_selector_base>20</merge_selector_base>
<old_parts_lifetime>{lifetime}</old_parts_lifetime>
<concurrent_part_removal_threshold>{any_number}</concurrent_part_removal_threshold>
<max_suspicious_broken_parts>{any_number}</max_suspicious_broken_parts>
<max_suspicious_broken_parts_bytes>{any_number}</max_suspicious_broken_parts_bytes>
</merge_tree>
<storage_configuration><disks><default>
<keep_free_space_bytes>{kept_free}</keep_free_space_bytes>
</default></disks></storage_configuration>
{logs}
</clickhouse>
"""
_LOG = """<{name}>
<database>system</database>
<table>{name}</table>
<partition_by>toYYYYMM(event_date)</partition_by>
<ttl>event_date + INTERVAL 3 DAY DELETE</ttl>
<flush_interval_milliseconds>7500</flush_interval_milliseconds>
<collect_interval_milliseconds>10000</collect_interval_milliseconds>
<level>warning</level>
<max_size_rows>10000</max_size_rows>
<reserved_size_rows>64</reserved_size_rows>
<buffer_size_rows_flush_threshold>5000</buffer_size_rows_flush_threshold>
</{name}>"""

OLD_PARTS_LIFETIME = 30
"""Seconds for which parts are kept that others have replaced; chdb's own default is 0."""


def write_configuration(directory: Path, *, kept_free: int, logs: bool = False) -> Path:
    """Write the engine's configuration into a directory; the path of its main file.

    Args:
        kept_free: bytes of the disk that merges and mutations leave free.
        logs: whether the engine keeps the tables of `SYSTEM_LOGS`.

    Raises:
        OSError: it cannot be written.
        ValueError: the directory's name cannot stand in it.
    """
    if any(sign in str(directory) for sign in "?&<"):
        raise ValueError(f"{directory}: a data directory's name must not hold ?, & or <")
    users = directory / "engine-users.xml"
    write_atomically(users, _users().encode())
    main = directory / "engine.xml"
    config = _CONFIG.format(
        users=users,
        lifetime=OLD_PARTS_LIFETIME,
        kept_free=kept_free,
        any_number=2**63 - 1,
        logs="\n".join(_LOG.format(name=name) for name in SYSTEM_LOGS) if logs else "",
    )
    write_atomically(main, config.encode())
    return main


def _users() -> str:
    values = {name: value for name, value in FIXED.items() if value is not None}
    values["log_queries"] = "0"  # what the front asks for itself; requests set it (`engine`)
    names = [*FIXED, *(f"merge_tree_{name}" for name in FIXED_OF_TABLES)]
    return _USERS.format(
        granted=_GRANTED,
        values="\n".join(f"<{name}>{value}</{name}>" for name, value in values.items()),
        fixed="\n".join(f"<{name}><const/></{name}>" for name in names),
    )
