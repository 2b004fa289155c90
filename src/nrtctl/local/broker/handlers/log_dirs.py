"""How much of the disk each partition takes."""

from __future__ import annotations

import os
from typing import Any

from nrtctl.local.broker.broker import Topic
from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.wire.errors import ErrorCode


def describe_log_dirs(context: Context, request: Any, reply: Reply) -> None:
    """v1–4: of named partitions or (null) all; those that are not there are left out, as Apache
    Kafka does. There is one directory, and no replica moves between two."""
    broker = context.broker
    result: dict[str, Any] = {"log_dir": str(broker.directory.resolve()), "topics": ()}
    try:
        disk = os.statvfs(broker.directory)
    except OSError:
        result["error_code"] = ErrorCode.kafka_storage_error
    else:
        result |= {
            "error_code": ErrorCode.none,
            "topics": _topics(context, request.topics),
            "total_bytes": disk.f_blocks * disk.f_frsize,
            "usable_bytes": disk.f_bavail * disk.f_frsize,
        }
    reply({"error_code": ErrorCode.none, "results": [result]})


def _topics(context: Context, wanted: Any) -> list[dict[str, Any]]:
    topics = context.broker.topics
    if wanted is None:
        return [_topic(topic, range(len(topic.partitions))) for topic in topics.values()]
    named: dict[str, set[int]] = {}
    for each in wanted:
        if each.topic in topics:
            named.setdefault(each.topic, set()).update(each.partitions)
    answers = [_topic(topics[name], sorted(numbers)) for name, numbers in named.items()]
    return [answer for answer in answers if answer["partitions"]]


def _topic(topic: Topic, numbers: Any) -> dict[str, Any]:
    return {
        "name": topic.name,
        "partitions": [
            {
                "partition_index": number,
                "partition_size": topic.partitions[number].log.size,
                "offset_lag": 0,
                "is_future_key": False,
            }
            for number in numbers
            if 0 <= number < len(topic.partitions)
        ],
    }
