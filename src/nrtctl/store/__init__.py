"""The rows of a pipeline in ClickHouse."""
