"""Topic settings shown and altered. The broker's own settings are its command line's: read-only."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final

from nrtctl.local.broker.broker import BROKER_ID, Topic
from nrtctl.local.broker.configs import BROKER_NAMES, DEFINITIONS, TopicConfig, Type, split
from nrtctl.local.broker.groups.coordinator import MAX_SESSION_TIMEOUT_MS
from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.process import joined

TOPIC: Final = 2
BROKER: Final = 4
_FROM_TOPIC: Final = 1
_FROM_CLUSTER: Final = 3
_FROM_START: Final = 4
_FROM_DEFAULT: Final = 5
_SET, _DELETE, _APPEND, _SUBTRACT = range(4)


def describe_entry(
    config: TopicConfig, key: str, *, synonyms: bool, documentation: bool
) -> dict[str, Any]:
    """One setting as DescribeConfigs and CreateTopics show it."""
    definition = DEFINITIONS[key]
    values = [(config.defaults[key], _FROM_START)] if key in config.defaults else []
    if key == "min.insync.replicas":
        # A new cluster of Apache Kafka 4.1 sets it for all of its topics (KIP-966).
        values.append((definition.default, _FROM_CLUSTER))
    values.append((definition.default, _FROM_DEFAULT))
    if key in config.overrides:
        values.insert(0, (config.overrides[key], _FROM_TOPIC))
    value, source = values[0]
    return {
        "name": key,
        "value": value,
        "read_only": False,
        "config_source": source,
        "is_sensitive": False,
        "config_type": definition.type,
        "documentation": definition.documentation if documentation else None,
        "synonyms": [{"name": key, "value": v, "source": s} for v, s in values if synonyms],
    }


def describe_configs(context: Context, request: Any, reply: Reply) -> None:
    """v1–4: topics, and those settings of the broker that Apache Kafka has, too, and mean something
    here."""
    answers = []
    for resource in request.resources:
        answer: dict[str, Any] = {
            "resource_type": resource.resource_type,
            "resource_name": resource.resource_name,
            "configs": (),
        }
        try:
            entries = _entries(context, resource, request)
            wanted = resource.configuration_keys
            answer["configs"] = [e for e in entries if wanted is None or e["name"] in wanted]
        except Refused as refused:
            answer |= {"error_code": refused.code, "error_message": refused.message}
        answers.append(answer)
    reply({"results": answers})


def _entries(context: Context, resource: Any, request: Any) -> list[dict[str, Any]]:
    if resource.resource_type == TOPIC:
        config = _topic(context, resource.resource_name).config
        return [
            describe_entry(
                config,
                key,
                synonyms=request.include_synonyms,
                documentation=getattr(request, "include_documentation", False),
            )
            for key in DEFINITIONS
        ]
    if resource.resource_type == BROKER:
        _check_broker(resource)
        return [_read_only(*setting) for setting in _broker_settings(context)]
    raise Refused(ErrorCode.invalid_request, "only topics and the broker have settings")


def _check_broker(resource: Any) -> None:
    """Raises Refused: it is neither this broker nor all of them."""
    if resource.resource_name not in ("", str(BROKER_ID)):
        raise Refused(ErrorCode.invalid_request, f"this broker's id is {BROKER_ID}")


def _broker_settings(context: Context) -> list[tuple[str, str, Type]]:
    options = context.broker.options
    of_topics = TopicConfig(options.topic_defaults, {})
    address = f"PLAINTEXT://{joined(context.host, context.port)}"
    directory = str(context.broker.directory.resolve())
    return [
        ("advertised.listeners", address, Type.STRING),
        ("auto.create.topics.enable", str(options.auto_create_topics).lower(), Type.BOOLEAN),
        ("broker.id", str(BROKER_ID), Type.INT),
        ("default.replication.factor", "1", Type.INT),
        ("delete.topic.enable", "true", Type.BOOLEAN),
        ("group.initial.rebalance.delay.ms", str(options.initial_rebalance_delay_ms), Type.INT),
        ("group.max.session.timeout.ms", str(MAX_SESSION_TIMEOUT_MS), Type.INT),
        ("group.min.session.timeout.ms", str(options.min_session_timeout_ms), Type.INT),
        ("listeners", address, Type.STRING),
        ("log.dir", directory, Type.STRING),
        ("log.dirs", directory, Type.STRING),
        ("node.id", str(BROKER_ID), Type.INT),
        ("nrtctl.fsync", options.fsync, Type.STRING),
        ("num.partitions", str(options.default_partitions), Type.INT),
        ("offset.metadata.max.bytes", "4096", Type.INT),
        ("process.roles", "broker,controller", Type.LIST),
        *(
            (name, of_topics[key], DEFINITIONS[key].type)
            for key, name in sorted(BROKER_NAMES.items(), key=itemgetter(1))
        ),
    ]


def _read_only(name: str, value: str, type_: Type) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "read_only": True,
        "config_source": _FROM_START,
        "config_type": type_,
    }


def _topic(context: Context, name: str) -> Topic:
    topic = context.broker.topics.get(name)
    if topic is None:
        raise Refused(ErrorCode.unknown_topic_or_partition)
    return topic


def alter_configs(context: Context, request: Any, reply: Reply) -> None:
    """v0–2: replace all of a topic's settings."""

    def overrides(_: Topic, configs: Any) -> dict[str, str]:
        for config in configs:
            if config.value is None:
                raise Refused(ErrorCode.invalid_config, f"Null value not supported: {config.name}")
        return {config.name: config.value for config in configs}

    _alter(context, request, reply, overrides)


def incremental_alter_configs(context: Context, request: Any, reply: Reply) -> None:
    """v0–1: set, delete, append to or subtract from single settings. Of the broker's there is none
    to delete, since nobody can set them."""

    def overrides(topic: Topic, configs: Any) -> dict[str, str]:
        changed = dict(topic.config.overrides)
        if len({config.name for config in configs}) < len(configs):
            raise Refused(ErrorCode.invalid_request, "a setting is named twice")
        for config in configs:
            _apply(topic, changed, config)
        return changed

    _alter(context, request, reply, overrides)


def _apply(topic: Topic, changed: dict[str, str], config: Any) -> None:
    definition = DEFINITIONS.get(config.name)
    if definition is None:
        raise Refused(ErrorCode.invalid_config, f"Unknown topic config name: {config.name}")
    if config.config_operation == _DELETE:
        changed.pop(config.name, None)
        return
    if config.value is None:
        raise Refused(ErrorCode.invalid_request, f"Null value not supported: {config.name}")
    if config.config_operation == _SET:
        changed[config.name] = config.value
        return
    if config.config_operation not in (_APPEND, _SUBTRACT):
        raise Refused(ErrorCode.invalid_request, "unknown operation")
    if definition.type is not Type.LIST:
        raise Refused(ErrorCode.invalid_config, f"{config.name} is not a list")
    values = split(topic.config[config.name])
    given = split(config.value)
    if config.config_operation == _APPEND:
        values += [value for value in given if value not in values]
    else:
        values = [value for value in values if value not in given]
    changed[config.name] = ",".join(values)


def _alter(context: Context, request: Any, reply: Reply, overrides: Any) -> None:
    answers = []
    for resource in request.resources:
        answer: dict[str, Any] = {
            "resource_type": resource.resource_type,
            "resource_name": resource.resource_name,
        }
        try:
            if _deletes_of_broker(resource):
                answers.append(answer)
                continue
            if resource.resource_type != TOPIC:
                raise Refused(
                    ErrorCode.invalid_request,
                    "only a topic's settings can be changed; the broker's are given when it "
                    "starts, and groups and clients have none here",
                )
            topic = _topic(context, resource.resource_name)
            changed = overrides(topic, resource.configs)
            if request.validate_only:
                TopicConfig(topic.config.defaults, changed)
            else:
                context.broker.configure(topic, changed)
        except Refused as refused:
            answer |= {"error_code": refused.code, "error_message": refused.message}
        except OSError as error:
            answer |= {
                "error_code": ErrorCode.kafka_storage_error,
                "error_message": f"the broker's disk: {error.strerror}",
            }
        answers.append(answer)
    reply({"responses": answers})


def _deletes_of_broker(resource: Any) -> bool:
    """Whether settings of the broker are deleted, which have no values but those of its start.

    Raises Refused: it is another broker.
    """
    if resource.resource_type != BROKER:
        return False
    operations = {getattr(each, "config_operation", _SET) for each in resource.configs}
    if operations != {_DELETE}:
        return False
    _check_broker(resource)
    return True
