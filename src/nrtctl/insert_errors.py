"""Which failures of ClickHouse are what: the one table. Whatever stores or repairs acts on it.

Codes: ClickHouse, src/Common/ErrorCodes.cpp. An unknown code is retried, never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Failure(Enum):
    """What an insert's failure asks for."""

    WAIT = "backpressure or a passing fault: wait, then send the same batch again"
    DATA = "the user's SQL fails on some message: find it, dead-letter it, keep the rest"
    SPLIT = "too much for one insert: halve it; stop where one message alone is too much"
    STOP = "nothing will change until somebody changes it: stop without committing offsets"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a failure is. `advice`: what ends the wait, or what mends it; one clause."""

    failure: Failure
    advice: str


BUSY = {
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    364: "RECEIVED_ERROR_TOO_MANY_REQUESTS",
    439: "CANNOT_SCHEDULE_TASK",
    700: "USER_SESSION_LIMIT_EXCEEDED",
    745: "SERVER_OVERLOADED",
    749: "TCP_CONNECTION_LIMIT_REACHED",
    762: "HTTP_CONNECTION_LIMIT_REACHED",
    1019: "QUERY_SLOT_ACQUISITION_TIMEOUT",
}

MERGES = {252: "TOO_MANY_PARTS", 692: "TOO_MANY_MUTATIONS"}

MEMORY = {
    173: "CANNOT_ALLOCATE_MEMORY",
    241: "MEMORY_LIMIT_EXCEEDED",
    777: "MEMORY_RESERVATION_KILLED",
    778: "MEMORY_RESERVATION_FAILED",
    1020: "MEMORY_RESERVATION_ACQUISITION_TIMEOUT",
}

DISK = {
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    204: "CANNOT_FSYNC",
    243: "NOT_ENOUGH_SPACE",
    1016: "TABLE_SIZE_LIMIT_EXCEEDED",
}

REPLICAS = {
    225: "NO_ZOOKEEPER",
    242: "TABLE_IS_READ_ONLY",
    254: "NO_ACTIVE_REPLICAS",
    265: "NO_AVAILABLE_REPLICA",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    297: "SHARD_HAS_NO_CONNECTIONS",
    319: "UNKNOWN_STATUS_OF_INSERT",
    369: "ALL_REPLICAS_ARE_STALE",
    574: "DISTRIBUTED_TOO_MANY_PENDING_BYTES",
    904: "TOO_MANY_UNAVAILABLE_SHARDS",
    999: "KEEPER_EXCEPTION",
}

NETWORK = {
    95: "CANNOT_READ_FROM_SOCKET",
    96: "CANNOT_WRITE_TO_SOCKET",
    198: "DNS_ERROR",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
}

INTERRUPTED = {
    216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    236: "ABORTED",
    394: "QUERY_WAS_CANCELLED",
    425: "SYSTEM_ERROR",
    677: "THREAD_WAS_CANCELED",
    733: "TABLE_IS_BEING_RESTARTED",
    735: "QUERY_WAS_CANCELLED_BY_CLIENT",
    738: "PART_IS_LOCKED",
}

QUOTA = {201: "QUOTA_EXCEEDED"}

DATA = {
    6: "CANNOT_PARSE_TEXT",
    25: "CANNOT_PARSE_ESCAPE_SEQUENCE",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    42: "NUMBER_OF_ARGUMENTS_DOESNT_MATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    128: "TOO_LARGE_ARRAY_SIZE",
    130: "CANNOT_READ_ARRAY_FROM_TEXT",
    131: "TOO_LARGE_STRING_SIZE",
    135: "ZERO_ARRAY_OR_TUPLE_INDEX",
    153: "ILLEGAL_DIVISION",
    190: "SIZES_OF_ARRAYS_DONT_MATCH",
    306: "TOO_DEEP_RECURSION",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    376: "CANNOT_PARSE_UUID",
    395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    407: "DECIMAL_OVERFLOW",
    427: "CANNOT_COMPILE_REGEXP",
    441: "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING",
    467: "CANNOT_PARSE_BOOL",
    469: "VIOLATED_CONSTRAINT",
    563: "CANNOT_READ_MAP_FROM_TEXT",
    675: "CANNOT_PARSE_IPV4",
    676: "CANNOT_PARSE_IPV6",
    691: "UNKNOWN_ELEMENT_OF_ENUM",
}

LIMITS = {158: "TOO_MANY_ROWS", 307: "TOO_MANY_BYTES", 396: "TOO_MANY_ROWS_OR_BYTES"}

SQL = {36: "BAD_ARGUMENTS"}
"""Of one message's values, or of the SQL itself: halving tells which message it stops at."""

TABLES = {
    8: "THERE_IS_NO_COLUMN",
    10: "NOT_FOUND_COLUMN_IN_BLOCK",
    16: "NO_SUCH_COLUMN_IN_TABLE",
    20: "NUMBER_OF_COLUMNS_DOESNT_MATCH",
    34: "TOO_MANY_ARGUMENTS_FOR_FUNCTION",
    35: "TOO_FEW_ARGUMENTS_FOR_FUNCTION",
    43: "ILLEGAL_TYPE_OF_ARGUMENT",
    44: "ILLEGAL_COLUMN",
    46: "UNKNOWN_FUNCTION",
    47: "UNKNOWN_IDENTIFIER",
    48: "NOT_IMPLEMENTED",
    50: "UNKNOWN_TYPE",
    53: "TYPE_MISMATCH",
    60: "UNKNOWN_TABLE",
    62: "SYNTAX_ERROR",
    63: "UNKNOWN_AGGREGATE_FUNCTION",
    81: "UNKNOWN_DATABASE",
    122: "INCOMPATIBLE_COLUMNS",
    218: "TABLE_IS_DROPPED",
    386: "NO_COMMON_TYPE",
}

SETTINGS = {115: "UNKNOWN_SETTING", 452: "SETTING_CONSTRAINT_VIOLATION"}

FORBIDDEN = {
    164: "READONLY",
    344: "SUPPORT_IS_DISABLED",
    392: "QUERY_IS_PROHIBITED",
    620: "QUERY_NOT_ALLOWED",
    720: "USER_EXPIRED",
    774: "TABLE_IS_PERMANENTLY_READ_ONLY",
}

ANALYSIS = {
    161: "TOO_MANY_COLUMNS",
    162: "TOO_DEEP_SUBQUERIES",
    167: "TOO_DEEP_AST",
    168: "TOO_BIG_AST",
    229: "QUERY_IS_TOO_LARGE",
}

SMALLER = "batch.max_rows and batch.max_bytes make later batches smaller"

GROUPS: tuple[tuple[Mapping[int, str], Failure, str], ...] = (
    (BUSY, Failure.WAIT, "it ends when the server has less to do; its limits are "
     "max_concurrent_queries and max_execution_time"),
    (MERGES, Failure.WAIT, "it ends when merges have caught up; the limits are "
     "parts_to_throw_insert and max_parts_in_total"),
    (MEMORY, Failure.WAIT, "it ends when the server has memory to spare; the limits are "
     f"max_server_memory_usage and max_memory_usage_for_user, and {SMALLER}"),
    (DISK, Failure.WAIT, "it ends when there is room on the server's disk"),
    (REPLICAS, Failure.WAIT, "it ends when replicas and Keeper answer again"),
    (NETWORK, Failure.WAIT, "it ends when the servers reach each other again"),
    (INTERRUPTED, Failure.WAIT, "the same batch is sent again"),
    (QUOTA, Failure.WAIT, "it ends with the interval of the user's quota"),
    (DATA, Failure.DATA, "the pipeline's SQL fails on a message"),
    (LIMITS, Failure.SPLIT, f"raise the limit that is named for this user, or {SMALLER}"),
    (SQL, Failure.SPLIT, "mend the pipeline's columns and rejects, then run `nrtctl up`"),
    (TABLES, Failure.STOP, "`nrtctl up` makes tables and views as the configuration describes "
     "them"),
    (SETTINGS, Failure.STOP, "the server is too old for the setting that is named, or the user's "
     "profile does not let it be set"),
    (FORBIDDEN, Failure.STOP, "give the user (clickhouse.username) the right to do this"),
    (ANALYSIS, Failure.STOP, "raise the limit that is named for this user"),
)  # fmt: skip

KINDS: tuple[tuple[int, re.Pattern[str], Meaning], ...] = (
    (252, re.compile("partitions for single INSERT block"), Meaning(
        Failure.SPLIT, "choose a coarser pipeline.partition_by, or raise "
        "clickhouse.settings.max_partitions_per_insert_block")),
    (241, re.compile(r"\(for query\)|Query memory limit"), Meaning(
        Failure.SPLIT, "raise clickhouse.settings.max_memory_usage, or the limit in the user's "
        "profile")),
    (62, re.compile("(?i)max query size"), Meaning(
        Failure.STOP, "raise clickhouse.settings.max_query_size")),
)  # fmt: skip
"""Codes that mean two things: what their text tells apart goes before `GROUPS`."""

UNKNOWN = Meaning(Failure.WAIT, "it is not known whether this passes; the same is tried again")

_BY_CODE = {code: Meaning(failure, advice) for codes, failure, advice in GROUPS for code in codes}


def explain(code: int | None, message: str = "") -> Meaning:
    """What a failure is. None: no code, so the connection failed."""
    for kind, text, meaning in KINDS:
        if kind == code and text.search(message):
            return meaning
    return _BY_CODE.get(code, UNKNOWN) if code is not None else UNKNOWN


def classify(code: int | None, message: str = "") -> Failure:
    """What to do about a failed insert."""
    return explain(code, message).failure
