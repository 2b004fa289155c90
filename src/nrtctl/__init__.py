"""nrtctl: a near-real-time pipeline from Kafka to ClickHouse, run from a terminal."""

__version__ = "0.1.0"
