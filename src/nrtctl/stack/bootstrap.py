"""Topic, tables and views: made if they are not there. Called by `up` and `demo`."""

from __future__ import annotations

from nrtctl.clickhouse.queries import Statements
from nrtctl.clock import SystemClock
from nrtctl.config.model import Config
from nrtctl.kafka import clients, topics
from nrtctl.kafka.former_group import take_over
from nrtctl.kafka.make_topic import Agree, always, check_topic, make_topic
from nrtctl.schema import cluster as on_cluster
from nrtctl.schema.apply import Plan, carry_out, plan
from nrtctl.schema.steps import Step
from nrtctl.stack.addresses import Addresses
from nrtctl.stack.current_topic import incarnations, topic_id
from nrtctl.store.incarnations import rows_by_incarnation

GONE = "not known"
"""In place of the id of a topic that was deleted before its id was written down."""


class Bootstrap:
    """What `up` does for one pipeline: `check`, and then `carry_out`.

    Args:
        client: of ClickHouse, which waits out what passes.
    """

    def __init__(self, config: Config, addresses: Addresses, client: Statements) -> None:
        self._config = config
        self._addresses = addresses
        self._client = client
        self._planned: Plan | None = None

    def check(self) -> None:
        """Refuse what cannot be; nothing is created.

        Raises:
            ConnectError: Kafka or ClickHouse does not answer.
            ConfigError: what is there does not fit the configuration.
        """
        config, client = self._config, self._client
        if config.pipeline.is_decoded:
            from nrtctl.kafka.formats import files

            files.check(config.pipeline)
        if not config.pipeline.has_pattern:
            check_topic(config, address=self._addresses.bootstrap_servers)
        database, cluster = config.clickhouse.database, config.clickhouse.cluster
        if cluster is None:
            self._planned = plan(client, config.pipeline, database)
        else:
            on_cluster.check_all(client, config.pipeline, database, cluster)

    def carry_out(self, *, add_partitions: bool = False, agree: Agree = always) -> list[Step]:
        """Create the topic and what ClickHouse needs; what a pattern matches is there already.

        Args:
            add_partitions: somebody has set pipeline.partitions, so a topic that has fewer gets
                them.
            agree: see `make_topic`.

        Raises:
            ConnectError: Kafka or ClickHouse does not answer.
            ConfigError: what is there has come to be otherwise since it was checked.
        """
        config, client = self._config, self._client
        address, cluster = self._addresses.bootstrap_servers, config.clickhouse.cluster
        pipeline = config.pipeline
        if pipeline.has_pattern:
            topic = "matches" if pipeline.topic else "none matches yet"
        else:
            topic = make_topic(config, address=address, add_partitions=add_partitions, agree=agree)
        steps = [Step("topic", pipeline.topic or str(pipeline.topics), topic)]
        if self._planned is not None:
            steps += carry_out(client, self._planned)
        elif cluster is not None:
            steps += on_cluster.apply(client, config.pipeline, config.clickhouse.database, cluster)
        if pipeline.unsplit:
            return steps
        made = topic == "made"
        _first_incarnation(config, self._addresses, client, made=made)
        return steps if made else [*steps, *_group(config, self._addresses, client)]


def bootstrap(
    config: Config, addresses: Addresses, client: Statements, *, add_partitions: bool = False
) -> list[Step]:
    """Check one pipeline, and create what it needs. Args and raises: as of `Bootstrap`."""
    pipeline = Bootstrap(config, addresses, client)
    pipeline.check()
    return pipeline.carry_out(add_partitions=add_partitions)


def _group(config: Config, addresses: Addresses, client: Statements) -> list[Step]:
    """The offsets of the former default group, taken over."""
    address, timeout = addresses.bootstrap_servers, config.kafka.connect_timeout
    admin = clients.make_admin(config.kafka, address=address)
    count = topics.partition_count(admin, config.pipeline.topic, address=address, timeout=timeout)

    def has_rows() -> bool:
        return bool(rows_by_incarnation(client, config.pipeline, config.clickhouse.database))

    said = take_over(config, admin, count, address=address, clock=SystemClock(), has_rows=has_rows)
    return [] if said is None else [Step("group", config.consumer.group, f"changed: {said}")]


def _first_incarnation(
    config: Config, addresses: Addresses, client: Statements, *, made: bool
) -> None:
    """Say whose the rows are that are there from before rows had an incarnation.

    Args:
        made: the topic was made just now, so they are of one that is gone.
    """
    topics = incarnations(config, client)
    if topics.known() or not rows_by_incarnation(
        client, config.pipeline, config.clickhouse.database
    ):
        return
    topics.register(GONE if made else topic_id(config, addresses))
