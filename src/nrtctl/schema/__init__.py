"""A pipeline as tables and views: `parsing` and `ddl` are text, `apply` carries it out."""

INSERT_SETTINGS = {
    # One insert stays one block, so that one token covers it: a server reads it by the first, the
    # local front, which has the engine read a file, by the second.
    "max_insert_block_size": 4_000_000,
    "max_block_size": 4_000_000,
    "min_insert_block_size_rows": 0,
    "min_insert_block_size_bytes": 0,
    "input_format_parallel_parsing": 0,
    # A repeat is skipped in both tables behind the views.
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    # An answer means that the rows are there.
    "async_insert": 0,
    "materialized_views_ignore_errors": 0,
    "distributed_foreground_insert": 1,
    # Views run one after the other, so that an insert takes one core and a bounded memory.
    "parallel_view_processing": 0,
    # A backlog reaches over more partitions of the table than the 100 of the server's default.
    "max_partitions_per_insert_block": 10_000,
    # A message that is plainly good skips the dearer checks; a wrong one never reaches user SQL.
    "short_circuit_function_evaluation": "enable",
    # Text in a JSON column stays text, and a LowCardinality of numbers or dates is one.
    "input_format_try_infer_dates": 0,
    "input_format_try_infer_datetimes": 0,
    "allow_suspicious_low_cardinality_types": 1,
}
"""What every insert into a landing table is sent with; defaults differ between server versions."""
