"""What Kafka's answers mean: the one table, and the errors of `nrtctl.errors` that it makes.

Whatever sees an error of Kafka's asks `meaning_of` and acts on the meaning; nobody else looks at a
code. Codes: Apache Kafka, org.apache.kafka.common.protocol.Errors, and librdkafka's own, which
begin with an underscore, src/rdkafka.h. A code without a row is UNEXPECTED.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException

from nrtctl.errors import ConfigError, ConnectError, NrtctlError, WaitTimeout
from nrtctl.kafka.refusals import ClientLog


class Meaning(Enum):
    """What an error of Kafka's or of its client's means to whoever gets it."""

    NO_ERROR = "it succeeded"
    UNREACHABLE = "nobody answers there; librdkafka goes on trying"
    ALL_DOWN = "no broker of the cluster answers; librdkafka goes on trying"
    UNTRUSTED = "there is no TLS connection"
    UNAUTHENTICATED = "Kafka answers, and does not accept who we are"
    UNAUTHORIZED = "Kafka knows us, and does not allow this"
    GROUP_UNAUTHORIZED = "Kafka knows us, and does not allow us this group"
    UNKNOWN_TOPIC = "there is no such topic, or it may not be seen"
    UNKNOWN_PARTITION = "the client knows no such partition, or not yet"
    ALREADY_EXISTS = "a topic with this name exists already"
    UNKNOWN_GROUP = "there is no such group"
    NOT_EMPTY = "the group has members"
    NOT_ADMITTED = "the group takes this member once others have left"
    REBALANCING = "the group is rebalancing: the same may be taken a moment later"
    FENCED = "what we had belongs to somebody else now"
    FENCED_INSTANCE = "another member of the group has our group.instance.id"
    NOT_ASSIGNED = "the client does not have this partition, or has given it up"
    CLOSED = "the client is closed"
    GONE_OFFSET = "the log does not hold this offset"
    END = "the end of the log is reached"
    DAMAGED = "the bytes that were fetched cannot be read, now or later"
    DAMAGED_BATCH = "the record batch at the error's offset cannot be read, now or later"
    QUEUE_FULL = "the client has no room for more; it will have"
    TOO_LARGE = "one message is larger than Kafka or the client takes"
    INVALID = "a setting or an argument is not taken"
    UNSUPPORTED = "this Kafka or this client cannot do it"
    TIMED_OUT = "it took too long; whether it was done is not known"
    RETRIABLE = "it passes by itself: the same may be asked again"
    FATAL = "the client cannot go on; a new one can"
    UNEXPECTED = "nothing that nrtctl asks is answered so"


NOT_ALLOWED = frozenset({Meaning.UNAUTHORIZED, Meaning.GROUP_UNAUTHORIZED})
LASTING = NOT_ALLOWED | {Meaning.UNAUTHENTICATED, Meaning.INVALID, Meaning.FATAL}
"""Answers that will not change until somebody changes something."""
AWAY = frozenset({Meaning.UNREACHABLE, Meaning.ALL_DOWN, Meaning.TIMED_OUT})
"""No answer. The cause is in what the client has heard, if anywhere."""
DAMAGE = frozenset({Meaning.DAMAGED, Meaning.DAMAGED_BATCH})


@dataclass(frozen=True, slots=True)
class Row:
    """One meaning, as it is told.

    Args:
        error: the class, and so the exit code.
        why: begins the message, before Kafka's own words; `{address}` is Kafka's.
        hint: what mends it, best a command.
    """

    meaning: Meaning
    error: type[NrtctlError]
    why: str
    hint: str | None


class UnknownTopic(NrtctlError):
    """Kafka has no topic of this name, or does not show it to the user."""


NOT_OURS = "Kafka at {address} does not allow this"
NOT_TAKEN = "Kafka does not accept this"
SHARED = "another consumer has taken over"
DAMAGED = "what Kafka holds cannot be read"
UNEXPECTED = "Kafka at {address} gave an unexpected answer"
RESTORE = "restore the broker's file or an intact replica, or wait until retention has deleted it"
DOCTOR = "`nrtctl doctor` names the rights that are missing, with the commands that give them"
STOP_MEMBERS = "stop the group's consumers, and run the same command again"
SAME = "run the same command again"

TABLE: tuple[tuple[Row, str], ...] = (
    (Row(Meaning.NO_ERROR, NrtctlError, "Kafka", None), "NO_ERROR"),
    (Row(Meaning.UNREACHABLE, ConnectError, "Kafka does not answer at {address}",
         "`nrtctl up` starts a local Kafka; kafka.bootstrap_servers sets the address"),
     "_TRANSPORT _RESOLVE _DESTROY_BROKER _UNKNOWN_BROKER _WAIT_COORD _FAIL "
     "BROKER_NOT_AVAILABLE NETWORK_EXCEPTION REBOOTSTRAP_REQUIRED"),
    (Row(Meaning.UNREACHABLE, ConnectError, "Kafka at {address} does not say where it can be "
    "reached",
         "each broker's advertised.listeners must name an address that can be reached from here"),
     "LISTENER_NOT_FOUND"),
    (Row(Meaning.ALL_DOWN, ConnectError, "Kafka does not answer at {address}",
         "`nrtctl up` starts a local Kafka; kafka.bootstrap_servers sets the address"),
     "_ALL_BROKERS_DOWN"),
    (Row(Meaning.UNTRUSTED, ConnectError, "Kafka at {address} refuses the connection",
         "see kafka.security_protocol and the kafka.ssl_… settings; `nrtctl doctor` checks the "
         "certificates"),
     "_SSL"),
    (Row(Meaning.UNAUTHENTICATED, ConnectError, "Kafka at {address} refuses the connection",
         "see kafka.security_protocol and the kafka.sasl_… and kafka.ssl_… settings"),
     "_AUTHENTICATION SASL_AUTHENTICATION_FAILED UNSUPPORTED_SASL_MECHANISM ILLEGAL_SASL_STATE "
     "SECURITY_DISABLED UNACCEPTABLE_CREDENTIAL PRINCIPAL_DESERIALIZATION_FAILURE "
     "INVALID_PRINCIPAL_TYPE DELEGATION_TOKEN_AUTH_DISABLED DELEGATION_TOKEN_NOT_FOUND "
     "DELEGATION_TOKEN_OWNER_MISMATCH DELEGATION_TOKEN_REQUEST_NOT_ALLOWED "
     "DELEGATION_TOKEN_EXPIRED"),
    (Row(Meaning.UNAUTHORIZED, ConnectError, NOT_OURS,
         "the user needs WRITE on the topic to produce, READ to consume, DESCRIBE for both, and "
         f"CREATE where `nrtctl up` is to create it: {DOCTOR}"),
     "TOPIC_AUTHORIZATION_FAILED"),
    (Row(Meaning.GROUP_UNAUTHORIZED, ConnectError, NOT_OURS,
         "the user needs READ on the consumer group to consume, DESCRIBE to see its offsets, and "
         f"DELETE where it is to be deleted; it is named by consumer.group: {DOCTOR}"),
     "GROUP_AUTHORIZATION_FAILED"),
    (Row(Meaning.UNAUTHORIZED, ConnectError, NOT_OURS,
         "the user needs WRITE on the topic to produce (before Kafka 2.8 IDEMPOTENT_WRITE on the "
         "cluster, too), CREATE on the topic or on the cluster for a new topic, or DESCRIBE on the "
         f"cluster to see what it holds: {DOCTOR}"),
     "CLUSTER_AUTHORIZATION_FAILED"),
    (Row(Meaning.UNAUTHORIZED, ConnectError, NOT_OURS,
         "give the user the right (an ACL) on the transactional id or token "
         "that [kafka.properties] names, or remove it there"),
     "TRANSACTIONAL_ID_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTHORIZATION_FAILED"),
    (Row(Meaning.UNKNOWN_TOPIC, UnknownTopic, "the topic does not exist, or the user may not see "
         "it",
         "`nrtctl up` creates the pipeline's topic"),
     "UNKNOWN_TOPIC_OR_PART UNKNOWN_TOPIC_ID INCONSISTENT_TOPIC_ID _UNKNOWN_TOPIC"),
    (Row(Meaning.UNKNOWN_PARTITION, NrtctlError, "the topic has no such partition",
         "`nrtctl up` creates the pipeline's topic, and adds partitions where pipeline.partitions "
         "asks for more"),
     "_UNKNOWN_PARTITION"),
    (Row(Meaning.ALREADY_EXISTS, NrtctlError, "a topic with this name exists already",
         "`nrtctl up` keeps a topic that exists"),
     "TOPIC_ALREADY_EXISTS"),
    (Row(Meaning.UNKNOWN_GROUP, NrtctlError, "there is no such consumer group",
         "consumer.group names it, and the first `nrtctl consume` creates it"),
     "GROUP_ID_NOT_FOUND _UNKNOWN_GROUP"),
    (Row(Meaning.NOT_EMPTY, NrtctlError, "the consumer group has members", STOP_MEMBERS),
     "NON_EMPTY_GROUP GROUP_SUBSCRIBED_TO_TOPIC"),
    (Row(Meaning.NOT_ADMITTED, NrtctlError, "the consumer group does not accept another member of "
    "this kind", "another program may use the group: choose another consumer.group"),
     "INCONSISTENT_GROUP_PROTOCOL"),
    (Row(Meaning.NOT_ADMITTED, NrtctlError, "the consumer group is full",
         "run fewer consumers, or raise group.max.size of the brokers"),
     "GROUP_MAX_SIZE_REACHED"),
    (Row(Meaning.NOT_ADMITTED, NrtctlError, "the consumer group has a member with this name",
         "group.instance.id in [kafka.properties] must differ from process to process"),
     "UNRELEASED_INSTANCE_ID"),
    (Row(Meaning.REBALANCING, WaitTimeout, "the consumer group is rebalancing", SAME),
     "REBALANCE_IN_PROGRESS STALE_MEMBER_EPOCH MEMBER_ID_REQUIRED _ASSIGN_PARTITIONS "
     "_REVOKE_PARTITIONS"),
    (Row(Meaning.REBALANCING, WaitTimeout, "the consumer was silent for too long and lost its "
         "place in the group", "it joins again on its own"),
     "_MAX_POLL_EXCEEDED"),
    (Row(Meaning.FENCED, NrtctlError, SHARED, STOP_MEMBERS),
     "ILLEGAL_GENERATION UNKNOWN_MEMBER_ID FENCED_MEMBER_EPOCH _ASSIGNMENT_LOST"),
    (Row(Meaning.FENCED_INSTANCE, ConnectError, "Kafka refuses the consumer: another member of the "
         "group has the same group.instance.id",
         "give each consumer a `group.instance.id` of its own in `kafka.properties`"),
     "FENCED_INSTANCE_ID"),
    (Row(Meaning.NOT_ASSIGNED, NrtctlError, "the client does not have this partition", SAME),
     "_STATE"),
    (Row(Meaning.CLOSED, NrtctlError, "the client has ended", SAME),
     "_DESTROY _PURGE_INFLIGHT _PURGE_QUEUE"),
    (Row(Meaning.GONE_OFFSET, NrtctlError, "the log does not hold this offset",
         "`nrtctl replay offsets` moves the group to where the log begins"),
     "OFFSET_OUT_OF_RANGE _AUTO_OFFSET_RESET _LOG_TRUNCATION"),
    (Row(Meaning.END, NrtctlError, "the end of the log is reached", None), "_PARTITION_EOF"),
    (Row(Meaning.DAMAGED_BATCH, NrtctlError, DAMAGED, RESTORE), "_BAD_MSG _BAD_COMPRESSION"),
    (Row(Meaning.DAMAGED, NrtctlError, DAMAGED, RESTORE),
     "_UNDERFLOW INVALID_MSG INVALID_MSG_SIZE INVALID_RECORD"),
    (Row(Meaning.QUEUE_FULL, NrtctlError, "the client's queue is full",
         "send fewer messages a second (--rate)"),
     "_QUEUE_FULL"),
    (Row(Meaning.TOO_LARGE, NrtctlError, "a message is too large",
         "raise max.message.bytes of the topic (`nrtctl topics set`, or pipeline.topic_config for "
         "a new one; without it message.max.bytes of the brokers counts), and message.max.bytes in "
         "[kafka.properties]; where small messages are too large together, lower batch.size there"),
     "MSG_SIZE_TOO_LARGE RECORD_LIST_TOO_LARGE"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN, "see [kafka.properties]"),
     "_INVALID_ARG _UNKNOWN_PROTOCOL _NOT_CONFIGURED _INVALID_TYPE INVALID_REQUIRED_ACKS "
     "INVALID_REGULAR_EXPRESSION INVALID_REQUEST"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN,
         "[pipeline.topic_config] has a setting that this Kafka does not accept"),
     "INVALID_CONFIG"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN, "check pipeline.partitions"),
     "INVALID_PARTITIONS"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN,
         "pipeline.replication_factor can be as large as the number of brokers"),
     "INVALID_REPLICATION_FACTOR INVALID_REPLICA_ASSIGNMENT"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN,
         "the brokers have a rule for topics: adapt pipeline.partitions, .replication_factor and "
         ".topic_config to it"),
     "POLICY_VIOLATION"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN,
         "pipeline.topic may have letters, digits, dots, hyphens and underscores"),
     "TOPIC_EXCEPTION"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN, "choose another consumer.group"),
     "INVALID_GROUP_ID"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN,
         "consumer.session_timeout must lie between the brokers' group.min.session.timeout.ms and "
         "group.max.session.timeout.ms"),
     "INVALID_SESSION_TIMEOUT"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN,
         "the brokers' offset.metadata.max.bytes must be 4096, its default, or more"),
     "OFFSET_METADATA_TOO_LARGE INVALID_COMMIT_OFFSET_SIZE"),
    (Row(Meaning.INVALID, ConfigError, NOT_TAKEN,
         "the topic's message.timestamp.type and its limits for timestamps refuse the record's"),
     "INVALID_TIMESTAMP"),
    (Row(Meaning.UNSUPPORTED, ConfigError, "Kafka at {address} cannot do this",
         "upgrade the brokers to 2.4 or later, and see [kafka.properties]"),
     "_UNSUPPORTED_FEATURE UNSUPPORTED_VERSION UNSUPPORTED_FOR_MESSAGE_FORMAT"),
    (Row(Meaning.UNSUPPORTED, ConfigError, NOT_TAKEN, "see [kafka.properties]"),
     "_NOT_IMPLEMENTED UNSUPPORTED_ASSIGNOR UNSUPPORTED_COMPRESSION_TYPE"),
    (Row(Meaning.TIMED_OUT, WaitTimeout, "Kafka at {address} did not answer in time",
         "`nrtctl status` shows the stack; kafka.connect_timeout sets how long to wait"),
     "_TIMED_OUT _TIMED_OUT_QUEUE REQUEST_TIMED_OUT"),
    (Row(Meaning.TIMED_OUT, WaitTimeout, "Kafka did not take the message in time",
         "`nrtctl status` shows the stack; --delivery-timeout sets how long a message is tried"),
     "_MSG_TIMED_OUT"),
    (Row(Meaning.RETRIABLE, WaitTimeout, "Kafka at {address} is not ready for this yet", SAME),
     "_WAIT_CACHE _RETRY _PREV_IN_PROGRESS _IN_PROGRESS _NODE_UPDATE _PARTIAL _OUTDATED "
     "LEADER_NOT_AVAILABLE NOT_LEADER_FOR_PARTITION REPLICA_NOT_AVAILABLE "
     "PREFERRED_LEADER_NOT_AVAILABLE ELIGIBLE_LEADERS_NOT_AVAILABLE FENCED_LEADER_EPOCH "
     "UNKNOWN_LEADER_EPOCH OFFSET_NOT_AVAILABLE COORDINATOR_LOAD_IN_PROGRESS "
     "COORDINATOR_NOT_AVAILABLE NOT_COORDINATOR NOT_CONTROLLER STALE_CTRL_EPOCH "
     "STALE_BROKER_EPOCH FETCH_SESSION_ID_NOT_FOUND INVALID_FETCH_SESSION_EPOCH "
     "REASSIGNMENT_IN_PROGRESS OPERATION_NOT_ATTEMPTED"),
    (Row(Meaning.RETRIABLE, WaitTimeout, "Kafka at {address} does not report the group's offsets "
    "yet",
         "a transaction of another program is still changing offsets of this group: wait until it "
         "ends"),
     "UNSTABLE_OFFSET_COMMIT"),
    (Row(Meaning.RETRIABLE, WaitTimeout, "Kafka at {address} has too few replicas for a write",
         "start the brokers that are down, or lower the topic's min.insync.replicas"),
     "NOT_ENOUGH_REPLICAS NOT_ENOUGH_REPLICAS_AFTER_APPEND _ISR_INSUFF"),
    (Row(Meaning.RETRIABLE, WaitTimeout, "Kafka at {address} has trouble with its disk",
         "the broker's log says more; the disk may be full or broken"),
     "KAFKA_STORAGE_ERROR LOG_DIR_NOT_FOUND"),
    (Row(Meaning.RETRIABLE, WaitTimeout, "Kafka at {address} is slowing down this user",
         "wait a moment, or raise the user's quota"),
     "THROTTLING_QUOTA_EXCEEDED"),
    (Row(Meaning.FATAL, NrtctlError, "the Kafka client cannot go on", SAME),
     "_FATAL _CRIT_SYS_RESOURCE _GAPLESS_GUARANTEE _INCONSISTENT _INVALID_DIFFERENT_RECORD "
     "OUT_OF_ORDER_SEQUENCE_NUMBER DUPLICATE_SEQUENCE_NUMBER UNKNOWN_PRODUCER_ID"),
    (Row(Meaning.FATAL, NrtctlError,
         "the Kafka client cannot go on, because another producer has its transactional id",
         "remove transactional.id from [kafka.properties]"),
     "_FENCED PRODUCER_FENCED INVALID_PRODUCER_EPOCH INVALID_PRODUCER_ID_MAPPING "
     "INVALID_TXN_STATE INVALID_TRANSACTION_TIMEOUT CONCURRENT_TRANSACTIONS "
     "TRANSACTION_COORDINATOR_FENCED TRANSACTION_ABORTABLE"),
    (Row(Meaning.FATAL, NrtctlError, "the Kafka client cannot use a file that it was given",
         "check the files named in [kafka] and [kafka.properties]"),
     "_FS _NOENT _READ_ONLY"),
    (Row(Meaning.UNEXPECTED, NrtctlError, UNEXPECTED, "the broker's log may say more"),
     "UNKNOWN _APPLICATION _CONFLICT _EXISTING_SUBSCRIPTION _INTR _NOOP _NO_OFFSET "
     "_KEY_SERIALIZATION "
     "_VALUE_SERIALIZATION _KEY_DESERIALIZATION _VALUE_DESERIALIZATION DUPLICATE_RESOURCE "
     "RESOURCE_NOT_FOUND TOPIC_DELETION_DISABLED ELECTION_NOT_NEEDED NO_REASSIGNMENT_IN_PROGRESS "
     "FEATURE_UPDATE_FAILED INVALID_UPDATE_VERSION MISMATCHED_ENDPOINT_TYPE "
     "UNSUPPORTED_ENDPOINT_TYPE UNKNOWN_CONTROLLER_ID INVALID_REGISTRATION "
     "INCONSISTENT_VOTER_SET INVALID_VOTER_KEY DUPLICATE_VOTER VOTER_NOT_FOUND "
     "UNKNOWN_SUBSCRIPTION_ID TELEMETRY_TOO_LARGE INVALID_RECORD_STATE SHARE_SESSION_NOT_FOUND "
     "SHARE_SESSION_LIMIT_REACHED INVALID_SHARE_SESSION_EPOCH FENCED_STATE_EPOCH "
     "STREAMS_INVALID_TOPOLOGY STREAMS_INVALID_TOPOLOGY_EPOCH STREAMS_TOPOLOGY_FENCED"),
)  # fmt: skip
"""Rows, and the members of `KafkaError` that they are for."""

FETCHED = {"_NOT_IMPLEMENTED": Meaning.DAMAGED, "UNSUPPORTED_COMPRESSION_TYPE": Meaning.DAMAGED}
"""Codes that mean something else as the answer to a fetch."""


def _by_code() -> Mapping[int, Row]:
    """Members that an older confluent-kafka does not have are left out."""
    return {
        getattr(KafkaError, name): row
        for row, names in TABLE
        for name in names.split()
        if hasattr(KafkaError, name)
    }


ROWS: Mapping[Meaning, Row] = {row.meaning: row for row, _ in reversed(TABLE)}
"""The first row of each meaning, for errors that are found without an error of Kafka's."""

_BY_CODE = _by_code()
_FETCHED = {getattr(KafkaError, name): meaning for name, meaning in FETCHED.items()}
_FENCED_WORDS = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()
"""A fatal error has the cause in its words only."""

Error = KafkaError | BaseException | None
"""A KafkaError, a KafkaException, one of our errors that was raised from one, or another."""


def kafka_error(error: Error) -> KafkaError | None:
    """The error of Kafka's that it is, carries or was raised from."""
    if isinstance(error, NrtctlError):
        error = error.__cause__
    if isinstance(error, KafkaException):
        error = error.args[0] if error.args else None
    return error if isinstance(error, KafkaError) else None


def row_of(error: Error) -> Row | None:
    """The table's row; None: it is no error of Kafka's."""
    found = kafka_error(error)
    if found is None:
        return None
    if found.code() == KafkaError._FATAL and _FENCED_WORDS in found.str():
        return ROWS[Meaning.FENCED_INSTANCE]
    return _BY_CODE.get(found.code(), ROWS[Meaning.UNEXPECTED])


def row_named(code: str) -> Row | None:
    """The table's row of a member of `KafkaError`; None: there is none of that name."""
    found = getattr(KafkaError, code, None)
    return _BY_CODE.get(found) if isinstance(found, int) else None


def forgotten() -> KafkaException:
    """Of a request that the client was given and has never ended."""
    said = "the Kafka client gave no answer to a request"
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, said))


def meaning_of(error: Error, *, fetched: bool = False) -> Meaning | None:
    """What it means; None: it is no error of Kafka's.

    Args:
        fetched: it is the answer to a fetch.
    """
    found, row = kafka_error(error), row_of(error)
    if found is None or row is None:
        return None
    return _FETCHED.get(found.code(), row.meaning) if fetched else row.meaning


class Fenced(ConnectError):
    """The group has another member under our `group.instance.id`.

    It may be ourselves: a client whose session ended while Kafka was away joins again under a new
    member id, and a commit that it repeats under the old one is refused so (librdkafka 2.16).
    """

    def __init__(self) -> None:
        row = ROWS[Meaning.FENCED_INSTANCE]
        super().__init__(row.why, hint=row.hint)


def translate(
    error: KafkaError | KafkaException,
    *,
    address: str,
    topic: str | None = None,
    doing: str | None = None,
) -> NrtctlError:
    """The error of `nrtctl.errors` that says what a Kafka error means, with what mends it.

    Args:
        doing: begins the message: what does not work, such as "topic 'events' cannot be created".
    """
    found, row = kafka_error(error), row_of(error)
    if found is None or row is None:
        why, hint, kind = f"Kafka: {error}", None, NrtctlError
    elif row.meaning is Meaning.UNKNOWN_TOPIC and topic is not None:
        return unknown_topic(topic)
    else:
        name = f" ({found.name()})" if row.meaning is Meaning.UNEXPECTED else ""
        why = f"{row.why.format(address=address)}: {found.str()}{name}"
        hint, kind = row.hint, row.error
    return kind(why if doing is None else f"{doing}: {why}", hint=hint)


def explained(
    client: Any,
    error: KafkaException,
    *,
    address: str,
    topic: str | None = None,
    doing: str | None = None,
) -> NrtctlError:
    """`translate`, with the cause where the client has heard why Kafka cannot be reached."""
    cause = None
    if meaning_of(error) in AWAY | {Meaning.UNTRUSTED, Meaning.UNAUTHENTICATED}:
        cause = refusal(client, address)
    return cause or translate(error, address=address, topic=topic, doing=doing)


def unreachable(address: str, reason: str) -> ConnectError:
    row = ROWS[Meaning.UNREACHABLE]
    return ConnectError(f"{row.why.format(address=address)}: {reason}", hint=row.hint)


def unknown_topic(topic: str, known: Iterable[str] = ()) -> UnknownTopic:
    """Args: known: topics that there are; the hint names one that is spelled alike."""
    row = ROWS[Meaning.UNKNOWN_TOPIC]
    near = get_close_matches(topic, [each for each in known if not each.startswith("__")], 1)
    meant = f"did you mean {near[0]!r}? Otherwise " if near else ""
    return UnknownTopic(
        f"topic {topic!r} does not exist, or the user may not see it", hint=f"{meant}{row.hint}"
    )


def queue_full() -> KafkaError:
    """What librdkafka says of a message that its queue has no room for."""
    return KafkaError(KafkaError._QUEUE_FULL)


@contextmanager
def translated(
    address: str, *, topic: str | None = None, doing: str | None = None
) -> Iterator[None]:
    """Raise a KafkaException from within as the error of `nrtctl.errors`."""
    try:
        yield
    except KafkaException as error:
        raise translate(error, address=address, topic=topic, doing=doing) from error


def refusal(client: Any, address: str) -> ConnectError | None:
    """Why the client is refused, as far as it has heard. Raises what it cannot live on with."""
    hear(client, address)
    return heard_refusal(client, address)


def hear(client: Any, address: str) -> None:
    """Let the client's callbacks come, which is from within `poll`. A consumer's `poll` fetches and
    would take away a message: a consumer hears when it is read.

    Raises:
        ConnectError, NrtctlError: what the client cannot live on with.
    """
    if not isinstance(client, Consumer):
        with translated(address):
            client.poll(0)


def heard_refusal(client: Any, address: str) -> ConnectError | None:
    """Why the client is refused, as far as it has heard; polls nothing."""
    heard: ClientLog | None = getattr(client, "heard", None)
    return heard.refusal(address) if heard is not None else None


def refused(client: Any, error: KafkaError, *, address: str, doing: str) -> NrtctlError:
    """What somebody has to change, with the cause where the client has heard it."""
    cause = None
    if meaning_of(error) is Meaning.UNAUTHENTICATED:
        cause = heard_refusal(client, address)
    return cause or translate(error, address=address, doing=doing)
