"""What a statement may reach: the tables of this data directory, and nothing beyond it.

Four nets lie behind one another, since none holds everything:

- grants without sources (`grants`): `url`, `s3`, `remote`, dictionaries, backups, users;
- settings that nobody can change (`FIXED`, which the engine enforces wherever a setting is given):
  paths and addresses, other dialects, functions that run text as a statement;
- functions that are put out of use in the engine itself (`SHADOWED`), however they are called;
- the words of a statement (`statement`): table functions and engines that are not on these lists,
  INFILE, OUTFILE, `disk(…)`.

The lists name what is allowed; what the engine has besides is refused, so a new one is refused too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

TABLE_FUNCTIONS = frozenset(
    {
        "format", "fuzzJSON", "generateRandom", "generateSeries", "generate_series", "input",
        "loop", "merge", "mergeTreeAnalyzeIndexes", "mergeTreeAnalyzeIndexesUUID",
        "mergeTreeCodecBlockCounts", "mergeTreeIndex", "mergeTreeProjection",
        "mergeTreeTextIndex", "null", "numbers", "numbers_mt", "primes", "prometheusQuery",
        "prometheusQueryRange", "SQLStandardValues", "timeSeriesData", "timeSeriesMetricFamilies",
        "timeSeriesMetrics", "timeSeriesSamples", "timeSeriesSelector", "timeSeriesTags", "values",
        "view", "viewExplain", "viewIfPermitted", "zeros", "zeros_mt", "fuzzQuery",
    }
)  # fmt: skip
TABLE_ENGINES = frozenset(
    {
        "Alias", "Buffer", "FuzzJSON", "GenerateRandom", "Join", "Log", "Loop", "MaterializedView",
        "Memory", "Merge", "Null", "Set", "StripeLog", "TimeSeries", "TinyLog", "View",
    }
    | {
        f"{replicated}{kind}MergeTree"
        for replicated in ("", "Replicated")
        for kind in (
            "", "Aggregating", "Coalescing", "Collapsing", "Graphite", "Replacing", "Summing",
            "VersionedCollapsing",
        )
    }
)  # fmt: skip
DATABASE_ENGINES = frozenset({"Atomic", "Memory"})

SHADOWED = ("file",)
"""Functions that the engine's grants do not cover; one of the same name takes their place."""
NOT_ALLOWED = "is not allowed here: it reaches out of the data directory"

FIXED = {
    **dict.fromkeys(
        (
            "ai_function_embedding_default_credentials", "ai_function_text_default_credentials",
            "filesystem_cache_name", "format_avro_schema_registry_url", "format_schema",
            "format_schema_source", "format_template_resultset", "format_template_row",
            "input_format_record_errors_file_path", "output_format_schema", "polyglot_dialect",
            "rename_files_after_processing", "s3_base", "url_base",
        )
    ),
    **dict.fromkeys(
        (
            "allow_database_glue_catalog", "allow_database_iceberg",
            "allow_database_unity_catalog", "allow_experimental_database_hms_catalog",
            "allow_experimental_database_materialized_postgresql",
            "allow_experimental_database_paimon_rest_catalog",
            "allow_experimental_eval_table_function", "allow_experimental_kusto_dialect",
            "allow_experimental_polyglot_dialect", "allow_experimental_prql_dialect",
            "allow_python_table_function", "enable_json_ast_dialect", "enable_trino_dialect",
            "into_outfile_create_parent_directories",
            "s3_allow_server_credentials_in_user_queries",
        ),
        "0",
    ),
    "dialect": "clickhouse",
}  # fmt: skip
"""Settings that stay as they are: name to value, or to None for the engine's own default."""
FIXED_OF_TABLES = ("disk", "storage_policy", "table_disk")
"""The same, of the settings of MergeTree tables."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Names, in small letters, that a statement must not use as a function or as an engine."""

    functions: frozenset[bytes]
    engines: frozenset[bytes]

    @classmethod
    def among(cls, functions: Iterable[str], engines: Iterable[str]) -> Self:
        """What is not allowed of what the engine has.

        Args:
            functions: its table functions.
            engines: its table and database engines.
        """
        allowed = TABLE_ENGINES | DATABASE_ENGINES
        return cls(
            _small({*functions, *SHADOWED, "python", "disk"} - TABLE_FUNCTIONS),
            _small(set(engines) - allowed),
        )


def _small(names: Iterable[str]) -> frozenset[bytes]:
    return frozenset(name.lower().encode() for name in names)
