"""Which subject of the registry a schema is registered under. Pure; used by `produce`.

The strategies are those of Confluent's serializers, TopicNameStrategy and its like:
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html
"""

from __future__ import annotations

import json
from typing import Literal

from nrtctl.pipeline.message_format import CannotRead

Strategy = Literal["topic", "record", "topic and record"]


def subject_of(strategy: Strategy, topic: str, record: str) -> str:
    """Args: record: the full name of what the schema describes."""
    if strategy == "topic":
        return f"{topic}-value"
    return record if strategy == "record" else f"{topic}-{record}"


def avro_name(text: str) -> str:
    """The full name of an Avro schema. Raises CannotRead: it has none."""
    schema = _object(text)
    name = schema.get("name")
    if not isinstance(name, str) or not name:
        raise CannotRead("it has no name, after which its subject is called")
    space = schema.get("namespace")
    return f"{space}.{name}" if isinstance(space, str) and space and "." not in name else name


def title_of(text: str) -> str:
    """What a JSON Schema is called. Raises CannotRead: it has no title."""
    title = _object(text).get("title")
    if not isinstance(title, str) or not title:
        raise CannotRead('it has no "title", after which its subject is called')
    return title


def _object(text: str) -> dict[str, object]:
    """Raises CannotRead."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CannotRead(f"it is not JSON: {error}") from error
    return found if isinstance(found, dict) else {}
