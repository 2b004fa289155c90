"""Which processes of the local stack pipelines need."""

from __future__ import annotations

from typing import Any

import pytest

from nrtctl.config.model import Config
from nrtctl.config.servers import SchemaRegistry
from nrtctl.pipeline import Pipeline
from nrtctl.stack.local import parts_for
from nrtctl.stack.spawn import ALL_PARTS, PARTS


def config(**pipeline: Any) -> Config:
    return Config(pipeline=Pipeline(fields={"x": "String"}, **pipeline))


@pytest.mark.parametrize("form", ["avro", "protobuf", "json schema"])
def test_a_registry_is_started_where_one_of_them_needs_it(form: Any) -> None:
    needs = config(format=form)
    assert list(parts_for([config()])) == list(PARTS)
    assert list(parts_for([config(), needs])) == list(ALL_PARTS)
    named = needs.model_copy(update={"schema_registry": SchemaRegistry(url="http://r:1")})
    assert list(parts_for([config(), named])) == list(PARTS)
