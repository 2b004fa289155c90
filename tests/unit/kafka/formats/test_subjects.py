"""What a subject is called, by each strategy and kind of schema."""

from __future__ import annotations

import pytest

from nrtctl.kafka.formats.subjects import avro_name, subject_of, title_of
from nrtctl.pipeline.message_format import CannotRead


def test_strategies() -> None:
    assert subject_of("topic", "orders", "shop.Order") == "orders-value"
    assert subject_of("record", "orders", "shop.Order") == "shop.Order"
    assert subject_of("topic and record", "orders", "shop.Order") == "orders-shop.Order"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"type": "record", "name": "Order", "fields": []}', "Order"),
        ('{"type": "record", "name": "Order", "namespace": "shop", "fields": []}', "shop.Order"),
        ('{"type": "record", "name": "a.Order", "namespace": "shop"}', "a.Order"),
        ('{"type": "record", "name": "Order", "namespace": ""}', "Order"),
    ],
)
def test_the_full_name_of_avro(text: str, name: str) -> None:
    assert avro_name(text) == name


@pytest.mark.parametrize("text", ['"long"', "{}", '{"name": 5}', '{"name": ""}', "[1", "[" * 9999])
def test_what_has_no_name_is_said(text: str) -> None:
    for named in (avro_name, title_of):
        with pytest.raises(CannotRead, match="no"):
            named(text)


def test_the_title_of_a_json_schema() -> None:
    assert title_of('{"title": "Order", "type": "object"}') == "Order"
