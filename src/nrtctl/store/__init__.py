"""The rows of a pipeline in ClickHouse, and the one way a batch gets there. Knows no Kafka client.

`intents` is exactly once as values; `writer` carries it out; `incarnations` numbers the topics.
"""
