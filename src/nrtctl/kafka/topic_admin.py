"""Topics from outside: looked at, made, changed, purged, deleted. Called by `nrtctl topics`.

What librdkafka's admin client does not ask, the sizes on disk, comes from `log_dirs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.config.servers import Kafka
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.kafka import clients, positions, topics
from nrtctl.kafka.admin import (
    SET,
    UNSET,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from nrtctl.kafka.error_codes import Meaning, explained, meaning_of
from nrtctl.kafka.log import KafkaLog
from nrtctl.kafka.log_dirs import Sizes, sizes
from nrtctl.kafka.patience import answered, patiently
from nrtctl.kafka.topic_states import (
    ORIGINS,
    PartitionState,
    Setting,
    TopicState,
    Unstored,
    unstored,
)

LIST = "`nrtctl topics list` shows the topics"
HINTS = {
    Meaning.ALREADY_EXISTS: "`nrtctl topics describe` shows it, `nrtctl topics set` changes it",
    Meaning.UNKNOWN_TOPIC: LIST,
}
BY_NAME = {
    "INVALID_CONFIG": "`nrtctl topics describe --all-settings` shows all settings",
    "INVALID_PARTITIONS": "the brokers limit how many partitions a topic may have",
    "INVALID_REPLICATION_FACTOR": "a topic can have as many replicas as there are brokers",
    "TOPIC_EXCEPTION": "a name has up to 249 letters, digits, dots, hyphens and underscores",
    "POLICY_VIOLATION": "a rule of the brokers forbids it; messages can be purged only where "
    "cleanup.policy contains delete",
    "OFFSET_OUT_OF_RANGE": "`nrtctl topics describe` shows where each log ends",
}


class TopicAdmin:
    """Every method may raise ConnectError and WaitTimeout: Kafka does not answer, or not in time;
    and NrtctlError where Kafka refuses what is asked."""

    def __init__(self, settings: Kafka, *, address: str, clock: Clock) -> None:
        self._settings = settings
        self._address = address
        self._clock = clock
        self._timeout = settings.connect_timeout
        self.client: AdminClient = clients.make_admin(settings, address=address)

    # ------------------------------------------------------------------ looking

    def names(self) -> list[str]:
        """Of all topics that may be seen, Kafka's own ones too."""
        return sorted(self._metadata().topics)

    def states(self, names: Iterable[str] | None = None) -> tuple[list[TopicState], Sizes]:
        """Topics by name, and the sizes that their brokers have told.

        Args:
            names: None: all that may be seen.

        Raises:
            NrtctlError: there is no such topic.
        """
        found = self._metadata()
        wanted = sorted(found.topics if names is None else set(names))
        for name in wanted:
            if name not in found.topics or not found.topics[name].partitions:
                raise self.unknown(name, found.topics)
        shown = [_state(found.topics[name]) for name in wanted]
        marks = self._marks(shown)
        brokers = {each.id: (each.host, each.port) for each in found.brokers.values()}
        asked = {each.name: [one.partition for one in each.partitions] for each in shown}
        told = sizes(self._settings, brokers, None if names is None else asked)
        return [_filled(each, marks, told) for each in shown], told

    def state(self, name: str) -> tuple[TopicState, Sizes]:
        """One topic, its id included."""
        (found,), told = self.states([name])
        topic_id = topics.topic_id(
            self.client, name, address=self._address, timeout=self._timeout, clock=self._clock
        )
        return replace(found, topic_id=topic_id), told

    def settings(self, name: str) -> list[Setting]:
        """By name. Raises NrtctlError: there is no such topic."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)

        def ask(left: float) -> Mapping[str, Any]:
            futures = self.client.describe_configs([resource], request_timeout=left)
            answer: Mapping[str, Any] = answered(futures[resource], left)
            return answer

        entries = patiently(ask, self.client, self._address, name, self._timeout, self._clock)
        return [_setting(each) for _, each in sorted(entries.items())]

    def marks(self, name: str, *, stable: bool = False) -> dict[int, tuple[int, int]]:
        """Log start and log end of each partition.

        Args:
            stable: the end of what can be read now: a transaction that is open lies beyond it.

        Raises:
            NrtctlError: there is no such topic.
        """
        return positions.watermarks(
            self.client,
            name,
            address=self._address,
            timeout=self._timeout,
            clock=self._clock,
            stable=stable,
        )

    def at_time(
        self, name: str, numbers: Iterable[int], milliseconds: int
    ) -> dict[int, int | None]:
        """The first offset at or after a time; None: no message is that new."""
        spec = OffsetSpec.for_timestamp(milliseconds)
        asked = {TopicPartition(name, number): spec for number in numbers}

        def ask(left: float) -> dict[int, int | None]:
            futures = self.client.list_offsets(asked, request_timeout=left)
            found = {
                tp.partition: int(answered(future, left).offset) for tp, future in futures.items()
            }
            return {number: None if offset < 0 else offset for number, offset in found.items()}

        return patiently(ask, self.client, self._address, name, self._timeout, self._clock)

    def unstored(self, config: Config) -> Unstored:
        """What a pipeline's group has still to store of the pipeline's topic. What it has committed
        of an earlier topic of this name is nothing of this one."""
        found = KafkaLog(config, self._address, self._clock).partitions()
        return unstored(
            config.consumer.group,
            {each.partition: (each.log_start, each.log_end) for each in found},
            {each.partition: each.committed for each in found},
        )

    # ------------------------------------------------------------------ changing

    def create(
        self, name: str, partitions: int | None, replicas: int | None, settings: Mapping[str, str]
    ) -> None:
        """Args: partitions, replicas: None: as many as the brokers' own settings say."""
        topic = NewTopic(
            name,
            num_partitions=-1 if partitions is None else partitions,
            replication_factor=-1 if replicas is None else replicas,
            config=dict(settings),
        )
        futures = self.client.create_topics([topic], request_timeout=self._timeout)
        self._done(futures[name], name, f"topic {name!r} cannot be created")

    def delete(self, name: str) -> None:
        futures = self.client.delete_topics([name], request_timeout=self._timeout)
        self._done(futures[name], name, f"topic {name!r} cannot be deleted")

    def configure(self, name: str, settings: Mapping[str, str], unset: Sequence[str]) -> None:
        """Set and take back single settings; the others stay as they are."""
        changes = [
            *(
                ConfigEntry(key, value, incremental_operation=SET)
                for key, value in settings.items()
            ),
            *(ConfigEntry(key, None, incremental_operation=UNSET) for key in unset),
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=changes)
        futures = self.client.incremental_alter_configs([resource], request_timeout=self._timeout)
        self._done(futures[resource], name, f"the settings of topic {name!r} cannot be changed")

    def grow(self, name: str, partitions: int) -> None:
        """Args: partitions: how many the topic has then."""
        asked = NewPartitions(name, partitions)
        futures = self.client.create_partitions([asked], request_timeout=self._timeout)
        self._done(futures[name], name, f"topic {name!r} cannot get more partitions")

    def purge(self, name: str, before: Mapping[int, int]) -> dict[int, int]:
        """Delete the messages below an offset of each partition; where the logs begin then.

        Raises:
            NrtctlError: Kafka refuses it for a partition; that of others may be done.
        """
        asked = [TopicPartition(name, number, offset) for number, offset in before.items()]
        doing = f"messages of topic {name!r} cannot be deleted"
        starts = {}
        futures = self.client.delete_records(asked, request_timeout=self._timeout)
        for at, future in futures.items():
            starts[at.partition] = int(self._done(future, name, doing).low_watermark)
        return starts

    # ------------------------------------------------------------------ inside

    def _metadata(self) -> Any:
        return topics.described(self.client, address=self._address, timeout=self._timeout)

    def _marks(self, shown: Sequence[TopicState]) -> dict[tuple[str, int], tuple[int, int]]:
        """Log start and end where there is a leader that answers."""
        asked = [
            (each.name, one.partition)
            for each in shown
            for one in each.partitions
            if one.leader is not None
        ]

        def ask(left: float) -> dict[tuple[str, int], tuple[int, int]]:
            return positions.marks_of(self.client, asked, timeout=left)

        return patiently(ask, self.client, self._address, None, self._timeout, self._clock)

    def _done(self, future: Any, name: str, doing: str) -> Any:
        try:
            return answered(future, self._timeout)
        except KafkaException as error:
            found = explained(self.client, error, address=self._address, topic=name, doing=doing)
            meaning = meaning_of(error)
            if meaning is Meaning.UNKNOWN_TOPIC:
                raise self.unknown(name) from error
            hint = BY_NAME.get(error.args[0].name(), HINTS.get(meaning) if meaning else None)
            if hint is not None:
                raise type(found)(found.message, hint=hint) from error
            raise found from error

    def unknown(self, name: str, known: Iterable[str] | None = None) -> NrtctlError:
        """That there is no such topic, with one that is written nearly so."""
        import difflib

        names = self.names() if known is None else known
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}? {LIST}" if near else LIST
        return NrtctlError(f"topic {name!r} does not exist, or the user may not see it", hint=hint)


def checked_settings(given: Iterable[str]) -> dict[str, str]:
    """`KEY=VALUE` texts. Raises ConfigError: one is no such text."""
    from nrtctl.kafka.topic_states import parse_setting

    try:
        return dict(map(parse_setting, given))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _state(found: Any) -> TopicState:
    return TopicState(
        found.topic,
        tuple(
            PartitionState(
                each.id,
                each.leader if each.leader >= 0 else None,
                tuple(each.replicas),
                tuple(each.isrs),
            )
            for _, each in sorted(found.partitions.items())
        ),
    )


def _filled(
    topic: TopicState, marks: Mapping[tuple[str, int], tuple[int, int]], told: Sizes
) -> TopicState:
    def filled(each: PartitionState) -> PartitionState:
        start, end = marks.get((topic.name, each.partition), (None, None))
        size = None
        if each.leader is not None:
            size = told.bytes.get((topic.name, each.partition, each.leader))
        return replace(each, log_start=start, log_end=end, size=size)

    return replace(topic, partitions=tuple(map(filled, topic.partitions)))


def _setting(entry: Any) -> Setting:
    number = getattr(entry.source, "value", entry.source)
    below = [each for each in entry.synonyms.values() if each.source != entry.source]
    return Setting(
        entry.name,
        None if entry.is_sensitive else entry.value,
        ORIGINS.get(int(number), "unknown"),
        below[0].value if below else (entry.value if entry.is_default else None),
    )
