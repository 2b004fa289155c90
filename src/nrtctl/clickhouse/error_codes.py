"""Which failures of ClickHouse are what: the one table. Whatever meets one acts on it.

Codes: ClickHouse, src/Common/ErrorCodes.cpp. An unknown code of an insert is retried, never
dropped. Nobody else looks at a code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from nrtctl.errors import QueryError


class Failure(Enum):
    """What an insert's failure asks for."""

    WAIT = "backpressure or a passing fault: wait, then send the same batch again"
    DATA = "the user's SQL fails on some message: find it, dead-letter it, keep the rest"
    SPLIT = "too much for one insert: halve it; stop where one message alone is too much"
    STOP = "nothing will change until somebody changes it: stop without committing offsets"


class Cause(Enum):
    """Why ClickHouse does not do it."""

    BUSY = "the server has too much to do"
    MERGES = "merges or mutations are behind"
    MEMORY = "the server is short of memory"
    DISK = "the server's disk is full, or fails"
    REPLICAS = "replicas or Keeper do not answer"
    NETWORK = "the servers do not reach each other"
    INTERRUPTED = "the statement was interrupted"
    QUOTA = "the user's quota is used up"
    GONE = "nobody answers"
    VALUES = "the SQL fails on a value"
    ROWS = "the statement reads or writes more rows than it may"
    LIMITS = "the statement is larger than it may be"
    BLOCKS = "one insert is for too many table partitions"
    QUERY_MEMORY = "the statement needs more memory than it may have"
    ARGUMENTS = "a value, or the SQL itself, is wrong"
    STATEMENT = "the SQL does not fit the tables, or is none"
    MISSING = "a table or a database is not there"
    SETTINGS = "a setting is unknown, or may not be set"
    READ_ONLY = "the user may only read"
    FORBIDDEN = "the server does not do this for the user"
    ANALYSIS = "the SQL is larger than the user may send"
    LOGIN = "the user is unknown, or the password wrong"
    RIGHTS = "a right is missing"
    UNKNOWN = "a code that has no row"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a failure is. `advice`: what ends the wait, or what mends it; one clause."""

    cause: Cause
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

ROWS = {158: "TOO_MANY_ROWS"}

LIMITS = {307: "TOO_MANY_BYTES", 396: "TOO_MANY_ROWS_OR_BYTES"}

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
    62: "SYNTAX_ERROR",
    63: "UNKNOWN_AGGREGATE_FUNCTION",
    122: "INCOMPATIBLE_COLUMNS",
    386: "NO_COMMON_TYPE",
}

MISSING = {60: "UNKNOWN_TABLE", 81: "UNKNOWN_DATABASE", 218: "TABLE_IS_DROPPED"}

SETTINGS = {115: "UNKNOWN_SETTING", 452: "SETTING_CONSTRAINT_VIOLATION"}

READ_ONLY = {164: "READONLY"}

FORBIDDEN = {
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

LOGIN = {
    192: "UNKNOWN_USER",
    193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD",
    516: "AUTHENTICATION_FAILED",
}

RIGHTS = {291: "DATABASE_ACCESS_DENIED", 497: "ACCESS_DENIED"}

SMALLER = "batch.max_rows and batch.max_bytes make later batches smaller"
RAISE = "raise this limit for the user"
GRANT = "give the user (clickhouse.username) the right to do this"
UP = "`nrtctl up` creates tables and views as the configuration describes them"

GROUPS: tuple[tuple[Meaning, Mapping[int, str]], ...] = (
    (Meaning(Cause.BUSY, Failure.WAIT, "this passes when the server has less to do; its limits are "
     "max_concurrent_queries and max_execution_time"), BUSY),
    (Meaning(Cause.MERGES, Failure.WAIT, "this passes when merges have caught up; the limits are "
     "parts_to_throw_insert and max_parts_in_total"), MERGES),
    (Meaning(Cause.MEMORY, Failure.WAIT, "this passes when the server has enough memory; the "
     f"limits are max_server_memory_usage and max_memory_usage_for_user, and {SMALLER}"), MEMORY),
    (Meaning(Cause.DISK, Failure.WAIT, "this passes when there is space on the server's disk "
     "again"), DISK),
    (Meaning(Cause.REPLICAS, Failure.WAIT, "this passes when replicas and Keeper answer again"),
     REPLICAS),
    (Meaning(Cause.NETWORK, Failure.WAIT, "this passes when the servers reach each other again"),
     NETWORK),
    (Meaning(Cause.INTERRUPTED, Failure.WAIT, "the same statement is sent again"), INTERRUPTED),
    (Meaning(Cause.QUOTA, Failure.WAIT, "this passes when the interval of the user's quota is "
     "over"), QUOTA),
    (Meaning(Cause.VALUES, Failure.DATA, "the pipeline's SQL fails on a message"), DATA),
    (Meaning(Cause.ROWS, Failure.SPLIT, f"{RAISE}, or {SMALLER}"), ROWS),
    (Meaning(Cause.LIMITS, Failure.SPLIT, f"{RAISE}, or {SMALLER}"), LIMITS),
    (Meaning(Cause.ARGUMENTS, Failure.SPLIT, "fix the pipeline's columns and rejects, then run "
     "`nrtctl up`"), SQL),
    (Meaning(Cause.STATEMENT, Failure.STOP, UP), TABLES),
    (Meaning(Cause.MISSING, Failure.STOP, UP), MISSING),
    (Meaning(Cause.SETTINGS, Failure.STOP, "the server is too old for this setting, or the user's "
     "profile does not allow setting it"), SETTINGS),
    (Meaning(Cause.READ_ONLY, Failure.STOP, GRANT), READ_ONLY),
    (Meaning(Cause.FORBIDDEN, Failure.STOP, GRANT), FORBIDDEN),
    (Meaning(Cause.ANALYSIS, Failure.STOP, RAISE), ANALYSIS),
    (Meaning(Cause.LOGIN, Failure.STOP, "check clickhouse.username and clickhouse.password "
     "(NRTCTL_CLICKHOUSE__PASSWORD), and the rights of the user"), LOGIN),
    (Meaning(Cause.RIGHTS, Failure.STOP, GRANT), RIGHTS),
)  # fmt: skip

KINDS: tuple[tuple[int | None, re.Pattern[str], Meaning], ...] = (
    (None, re.compile(r"refuses so large a request \(HTTP status 413\)"), Meaning(
        Cause.LIMITS, Failure.SPLIT, "raise its limit for the size of a request, which is "
        f"client_max_body_size in nginx; {SMALLER}")),
    (159, re.compile("Distributed DDL task|distributed_ddl_task_timeout"), Meaning(
        Cause.REPLICAS, Failure.WAIT, "this passes when every server of the cluster answers "
        "again")),
    (252, re.compile("partitions for single INSERT block"), Meaning(
        Cause.BLOCKS, Failure.SPLIT, "choose a coarser pipeline.partition_by, or raise "
        "clickhouse.settings.max_partitions_per_insert_block")),
    (241, re.compile(r"\(for query\)|Query memory limit"), Meaning(
        Cause.QUERY_MEMORY, Failure.SPLIT, "raise clickhouse.settings.max_memory_usage, or the "
        "limit in the user's profile")),
    (62, re.compile("(?i)max query size"), Meaning(
        Cause.ANALYSIS, Failure.STOP, "raise clickhouse.settings.max_query_size")),
)  # fmt: skip
"""Codes that mean two things: what their text tells apart goes before `GROUPS`. None: there is no
code, as somebody else has answered."""

GONE = Meaning(Cause.GONE, Failure.WAIT, "this passes when ClickHouse answers")
UNKNOWN = Meaning(Cause.UNKNOWN, Failure.WAIT, "it is not known whether this passes; trying again")

OF_ITS_SQL = frozenset({
    Cause.VALUES, Cause.ARGUMENTS, Cause.STATEMENT, Cause.MISSING, Cause.FORBIDDEN, Cause.ANALYSIS,
    Cause.UNKNOWN,
})  # fmt: skip
"""The text of the statement is at fault, as far as anybody can tell."""

_UNSAID = frozenset({Cause.VALUES, Cause.ARGUMENTS, Cause.STATEMENT, Cause.UNKNOWN})
"""What mends these depends on whose SQL it is."""

ADVICE: Mapping[Cause, str] = {meaning.cause: meaning.advice for meaning, _ in GROUPS}
_BY_CODE = {code: meaning for meaning, codes in GROUPS for code in codes}


def explain(code: int | None, message: str = "") -> Meaning:
    """What a failure is. None: the server gives no code."""
    for kind, text, meaning in KINDS:
        if kind == code and text.search(message):
            return meaning
    return _BY_CODE.get(code, UNKNOWN) if code is not None else UNKNOWN


def meaning_of(error: QueryError) -> Meaning:
    """What a failed statement met."""
    return explain(error.code, error.message)


def failed(message: str, code: int | None) -> QueryError:
    """The error of a statement, with what mends it where that is so for any statement."""
    found = explain(code, message)
    return QueryError(message, code, hint=None if found.cause in _UNSAID else found.advice)
