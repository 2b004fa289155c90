"""CloudEvents 1.0 as they come by HTTP, and as Kafka has them. Pure. Used by `requests`.

Each mode stays what it is: a structured event is the message's value, whole; of a binary one the
data is the value, and each attribute a header, `ce_` before its name. A `partitionkey` is the key.
https://github.com/cloudevents/spec: bindings/http-protocol-binding.md, kafka-protocol-binding.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_to_bytes

from nrtctl.producer.listening.events import parsed
from nrtctl.producer.listening.refused import Refused

KafkaHeaders = list[tuple[str, bytes]]
STRUCTURED = b"application/cloudevents+json; charset=UTF-8"
_REQUIRED = ("specversion", "id", "source", "type")
_VERSIONS = ("1.0", "0.3")
_NAME = re.compile(r"[a-z0-9]{1,100}")
_ESCAPED = re.compile(rb"\\(.)")


def is_binary(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the attributes of an event stand in the headers. Args: names in lower case."""
    return any(name == b"ce-specversion" for name, _ in headers)


def structured_key(value: bytes, where: str) -> bytes | None:
    """The key of an event that has all its attributes. Raises Refused: it lacks one."""
    found = parsed(value, where)
    if not isinstance(found, dict):
        raise Refused(400, f"{where} is not a CloudEvent, which is a JSON object")
    _check({name: each for name, each in found.items() if name in _REQUIRED}, where)
    key = found.get("partitionkey")
    return key.encode() if isinstance(key, str) else None


def binary_headers(
    headers: Sequence[tuple[bytes, bytes]], content_type: str | None
) -> tuple[KafkaHeaders, bytes | None]:
    """The headers of Kafka's message, and its key.

    Raises:
        Refused: an attribute is missing, stands there twice, or is none.
    """
    attributes: dict[str, bytes] = {}
    for name, value in headers:
        if not name.startswith(b"ce-"):
            continue
        attribute = name[3:].decode("latin-1")
        if not _NAME.fullmatch(attribute):
            raise Refused(
                400, f"ce-{attribute} is not an attribute: its name has only letters and digits"
            )
        if attribute in attributes:
            raise Refused(400, f"the header ce-{attribute} is given twice")
        attributes[attribute] = _unescaped(value, attribute)
    _check({name: each.decode() for name, each in attributes.items()}, "the CloudEvent")
    found: KafkaHeaders = [(f"ce_{name}", value) for name, value in attributes.items()]
    if content_type:
        found.append(("content-type", content_type.encode("latin-1")))
    return found, attributes.get("partitionkey")


def _check(attributes: dict[str, object], where: str) -> None:
    for name in _REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise Refused(400, f"{where} lacks the attribute {name}, a string")
    if attributes["specversion"] not in _VERSIONS:
        raise Refused(400, f"{where} has a specversion other than {' or '.join(_VERSIONS)}")


def _unescaped(value: bytes, attribute: str) -> bytes:
    """As section 3.1.3.2 of the HTTP binding has it: quotes first, then percents."""
    text = value.strip(b" \t")
    if len(text) > 1 and text.startswith(b'"') and text.endswith(b'"'):
        text = _ESCAPED.sub(rb"\1", text[1:-1])
    found = unquote_to_bytes(text)
    try:
        found.decode()
    except UnicodeDecodeError:
        raise Refused(400, f"the header ce-{attribute} is not UTF-8") from None
    return found
