"""The embedded stack: a Kafka-protocol broker and an HTTP front for the ClickHouse engine."""
