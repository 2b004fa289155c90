"""Kafka's wire protocol: requests in, replies out, record batches. No I/O; used by all the rest."""
