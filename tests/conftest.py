"""Plugins that more than one directory of tests uses."""

pytest_plugins = [
    "tests.plugins.apache_kafka",
    "tests.plugins.apache_tools",
    "tests.plugins.clickhouse_front",
    "tests.plugins.fake_docker",
    "tests.plugins.kafka_wire",
    "tests.plugins.local_broker",
    "tests.plugins.pipeline_engine",
    "tests.plugins.secure_kafka",
    "tests.plugins.small_disk",
    "tests.plugins.stack",
    "tests.plugins.busy",
    "tests.plugins.airflow",
    "tests.plugins.one_shard",
    "tests.plugins.workers",
]
